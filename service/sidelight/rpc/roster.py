"""The models on offer: what answers now, what it measured, and why the rest does not."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sidelight.core.ask import TWIN, Model
from sidelight.core.errors import Unavailable, Unknown, Unsupported
from sidelight.core.predictor import ModelSpec, Predictor, Probe, Twin
from sidelight.core.registry import Method


@dataclass(frozen=True)
class Offer:
    """What can be asked: a predictor, with the specification and the probe of its newest ready version."""

    predictor: Predictor
    spec: ModelSpec
    probe: Probe
    twin: Twin | None = None  # verified against this version
    twin_reason: str = ""  # why there is none
    twin_predictor: Predictor | None = None
    rows_to_twin: bool = False  # whether it also takes the rows that need no gradient

    def twin_of(self, version: str) -> Twin | None:
        """The twin, if it was verified against `version`."""
        return self.twin if version == self.spec.version else None

    def model(self, version: str) -> Model:
        """What to ask for rows that need no gradient."""
        return Model(self.spec.name, version, TWIN if self.rows_to_twin and self.twin_of(version) else "")

    def rows_by(self, model: Model) -> Predictor:
        """Who evaluates the rows of `model`."""
        return self.twin_predictor if model.variant and self.twin_predictor else self.predictor

    def need_twin(self, version: str, method: Method) -> None:
        """Raises Unsupported, with the reason, where `version` has no verified twin."""
        if self.twin_of(version) is None:
            why = self.twin_reason or f"its twin is that of version {self.spec.version}"
            raise Unsupported(
                "NO_TWIN",
                self.spec.name,
                f"{method.name} needs gradients, and model {self.spec.name} {version} has no verified differentiable "
                f"twin: {why}" + (f"; {method.instead} does without" if method.instead else ""),
            )


@dataclass(frozen=True)
class State:
    """A model at this moment. `offer` is what was last probed, whether it answers now or not."""

    name: str
    ready: bool = False
    reason: str = "starting: it has not answered yet"
    versions: tuple[str, ...] = ()
    predictor: Predictor | None = None
    offer: Offer | None = None


@dataclass
class Roster:
    """Thread-safe. `changed` is called after each change, from the thread that made it."""

    changed: Callable[[], None] = lambda: None
    _states: dict[str, State] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, name: str, **changes: Any) -> None:
        """Change what is known of a model."""
        with self._lock:
            before = self._states.get(name, State(name))
            self._states[name] = after = replace(before, **changes)
        if before != after:
            self.changed()

    def states(self) -> tuple[State, ...]:
        """All models, in the order of the configuration."""
        with self._lock:
            return tuple(self._states.values())

    def find(self, name: str) -> State:
        """The model `name`. Raises Unknown."""
        with self._lock:
            if name not in self._states:
                raise Unknown("model", name, self._states)
            return self._states[name]

    def ready(self, name: str) -> Offer:
        """The model `name`, which answers. Raises Unknown, or Unavailable with the reason."""
        state = self.find(name)
        if not state.ready or state.offer is None:
            raise Unavailable(f"model {name} is not ready: {state.reason}", retry_after=2.0)
        return state.offer
