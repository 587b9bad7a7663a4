"""What the RPC layer tells whoever watches it, and the id of the request being handled."""

from contextvars import ContextVar
from typing import Protocol

request_id: ContextVar[str] = ContextVar("request_id", default="")


class RpcObserver(Protocol):
    """Receives what happens. Called on the event loop: must be quick."""

    def started(self, kind: str, service: str, method: str) -> None:
        """An RPC arrived; `kind` is "unary" or "server_stream"."""

    def handled(self, kind: str, service: str, method: str, code: str, seconds: float) -> None:
        """It ended with the gRPC code `code`."""

    def explained(self, method: str, models: tuple[str, ...], outcome: str, seconds: float) -> None:
        """An explanation ended; `outcome` is "OK" or what went wrong, by its gRPC code."""

    def answered(self, method: str, model: str, converged: bool, stop: str) -> None:
        """A model's explanation was answered; `stop` says why it stopped."""

    def twin_gap(self, model: str, gap: float) -> None:
        """How far a model's twin was from the served model on a request's input."""

    def attribution_error(self, method: str, model: str, ratio: float) -> None:
        """|attribution error| over |attribution target| of a map along a path."""

    def property_gradient(self, model: str, editor: str, score: float) -> None:
        """The expected property gradient magnitude of a property, by what edited it: its name is the caller's own."""
