"""What the service says of itself on its metrics port."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def total(url: str, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    with urllib.request.urlopen(url, timeout=10) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    samples = (s for family in families for s in family.samples if s.name == name)
    return sum(s.value for s in samples if labels.items() <= s.labels.items())
