"""Run the service, if it is installed here; all arguments are the service's own (serve --help)."""

import argparse
import importlib.util
from collections.abc import Sequence

from sidelight_client.cli.terminal import stderr

EXAMPLES = """\
examples:
  sidelight serve --config sidelight.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: `main` hands over before it parses."""


def run(argv: Sequence[str]) -> int:
    """Hand over to the service's own entry."""
    if importlib.util.find_spec("sidelight") is None:
        stderr.print("the service is not installed here, only its client; install it with: pip install sidelight")
        return 1
    from sidelight.__main__ import main  # only here: the client alone must not need the service and its torch

    return main(list(argv))
