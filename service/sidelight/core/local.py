"""Heavy pure host work by name: what a `Local` ask runs in a process of its own, away from every thread of the service.

A child process imports the module of the function it is given, so such modules do without torch.
"""

from collections.abc import Callable, Mapping
from typing import Any

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]
_WORK: dict[str, Work] = {}


def local(name: str) -> Callable[[Work], Work]:
    """Register a module-level function as `Local(name)`. It must be pure and importable by its name."""

    def register(work: Work) -> Work:
        _WORK[name] = work
        return work

    return register


def works() -> dict[str, Work]:
    """All functions by name."""
    return dict(_WORK)
