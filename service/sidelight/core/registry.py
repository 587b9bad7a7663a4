"""Methods, found by listing their folder. Registered beside their definition; never switched on by a string."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sidelight.core.baseline import Baseline
from sidelight.core.errors import Unknown, Unsupported
from sidelight.core.inputs import Input
from sidelight.core.job import Job
from sidelight.core.sweep import Plan


@dataclass(frozen=True)
class Method:
    """An explanation method: a plan over a job and its parameters."""

    name: str
    plan: Callable[[Job, Any], Plan]
    params: type
    paper: str
    needs: tuple[str, ...]  # kinds of ask
    cost: Callable[[Any, Input], int]  # rows, as well as they can be told before it runs
    check: Callable[[Any, Job], None]  # raises InvalidRequest for what these parameters cannot be asked together
    segmented: bool  # whether it can make its baseline from its own segments
    settle: Callable[[Any, Job], Any]  # the parameters with what they leave to the method filled in, once checked
    baseline: Callable[[Any, str], tuple[Baseline, ...]]  # of a request that names none, by modality; (): as always
    apart: bool  # whether every target over every baseline has rows of its own; then `cost` is that of one
    summary: str
    instead: str = ""  # a method like it for models without a twin
    maps: bool = True  # whether it answers with attribution maps, over a baseline


_METHODS: dict[str, Method] = {}
_ABSENT: dict[str, dict[str, str]] = {}  # by folder, by name: why


def method(
    name: str,
    *,
    params: type,
    paper: str,
    needs: tuple[str, ...],
    cost: Callable[[Any, Input], int],
    check: Callable[[Any, Job], None] = lambda params, job: None,
    segmented: bool = False,
    settle: Callable[[Any, Job], Any] = lambda params, job: params,
    baseline: Callable[[Any, str], tuple[Baseline, ...]] = lambda params, modality: (),
    apart: bool = False,
    instead: str = "",
    maps: bool = True,
) -> Callable:
    """Register a plan as the method `name`, which is also its field in the request's `oneof method`."""

    def register(plan: Callable[[Job, Any], Plan]) -> Callable[[Job, Any], Plan]:
        summary = (plan.__doc__ or "").strip().splitlines()[0]
        _METHODS[name] = Method(
            name, plan, params, paper, needs, cost, check, segmented, settle, baseline,
            apart or "gradient" in needs, summary, instead, maps,
        )  # fmt: skip
        return plan

    return register


def load(package: ModuleType) -> None:
    """Import every module of a plug-in folder; one whose dependency is absent is listed with the reason."""
    for info in pkgutil.iter_modules(package.__path__):
        try:
            importlib.import_module(f"{package.__name__}.{info.name}")
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] == "sidelight":
                raise
            folder = package.__name__.rpartition(".")[2]
            _ABSENT.setdefault(folder, {})[info.name] = f"needs the package {missing.name}"


def methods() -> dict[str, Method]:
    """All methods by name."""
    return dict(_METHODS)


def absent(folder: str = "methods") -> dict[str, str]:
    """Plug-ins of a folder that cannot run here, with the reason."""
    return dict(_ABSENT.get(folder, {}))


def find(name: str) -> Method:
    """The method `name`. Raises Unknown, or Unsupported with the reason why it cannot run here."""
    if why := absent().get(name):
        raise Unsupported("METHOD_UNAVAILABLE", name, f"method {name} {why}")
    if name not in _METHODS:
        raise Unknown("method", name, _METHODS)
    return _METHODS[name]
