"""What the engine tells whoever watches it. Calls come from the engine's threads and must be quick."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sidelight.core.ask import Ask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Label:
    """Whose rows these are, for metrics: names from configured lists only."""

    method: str
    model: str
    executor: str  # of the served model; rows of its twin are the twin's


class Observer(Protocol):
    """Receives what happens."""

    def batch(self, lane: str, ask: Ask, rows: int, room: int, seconds: float) -> None:
        """A batch of `rows` out of `room` was answered; `seconds` of the lane's time."""

    def rows(self, label: Label, ask: Ask, rows: int) -> None:
        """Rows of one request were answered."""

    def call(self, ask: Ask, seconds: float, code: str) -> None:
        """A call to a model or an editor ended; `code` is "OK" or the error's class."""

    def in_flight(self, lane: str, calls: int) -> None:
        """Calls under way."""

    def queue_wait(self, seconds: float) -> None:
        """A request's first row was picked after so long."""


class Silent:
    """Watches nothing."""

    def batch(self, lane: str, ask: Ask, rows: int, room: int, seconds: float) -> None: ...
    def rows(self, label: Label, ask: Ask, rows: int) -> None: ...
    def call(self, ask: Ask, seconds: float, code: str) -> None: ...
    def in_flight(self, lane: str, calls: int) -> None: ...
    def queue_wait(self, seconds: float) -> None: ...


class Guarded:
    """Another observer, whose mistakes are logged: telemetry must not stop a lane."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def __getattr__(self, name: str) -> Callable[..., None]:
        method = getattr(self._observer, name)

        def guarded(*args: Any) -> None:
            try:
                method(*args)
            except Exception:
                log.exception("the observer failed")

        return guarded
