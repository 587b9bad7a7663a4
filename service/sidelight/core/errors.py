"""What can go wrong, in the domain's words; `rpc/status.py` maps each class to a gRPC code, once.

SidelightError
├── InvalidRequest        a field is wrong: names it, says what would do
├── Unknown               no such model, version, method, class
├── Unsupported           the model cannot do what the request needs (reason in capitals)
│   ├── ModelFailed       the model refused or broke on this request's rows
│   ├── EditorFailed      the editor broke on this request's rows
│   └── NonFinite         the model answered NaN or infinity
├── Exhausted             queue, quota or device memory is full
├── Unavailable           the endpoint is down, warming up or draining
├── VersionGone           the pinned model version disappeared in mid-request
├── DeadlineExceeded      would not, or did not, finish in time
└── Cancelled             the caller hung up
"""

import difflib
from collections.abc import Iterable
from typing import Any


class SidelightError(Exception):
    """Base of all errors that a caller may see. They cross from one process to another as they are."""

    def __reduce__(self) -> tuple:
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[SidelightError], args: tuple, fields: dict[str, Any]) -> SidelightError:
    error = kind.__new__(kind, *args)  # not __init__, whose arguments are not kept
    vars(error).update(fields)
    return error


class InvalidRequest(SidelightError):
    """`field` (dotted, as in the proto) holds something that will not do; `mend` says what would."""

    def __init__(self, field: str, mend: str) -> None:
        super().__init__(f"{field}: {mend}")
        self.field, self.mend = field, mend


class Unknown(SidelightError):
    """There is no `kind` called `name`; `known` are those there are."""

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3) or known[:5]
        self.kind, self.name, self.close = kind, name, close
        super().__init__(f"no {kind} {name!r}" + (f"; there is {', '.join(close)}" if close else ""))


class Unsupported(SidelightError):
    """The model, as it is served, cannot do this. `reason` is a stable word in capitals for programs."""

    def __init__(self, reason: str, subject: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.subject = reason, subject


class ModelFailed(Unsupported):
    """The model answered this request's rows with an error, also when they were asked alone."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__("MODEL_FAILED", model, f"model {model} failed on this request's rows: {message}")


class EditorFailed(Unsupported):
    """The editor broke on this request's rows, also when they were edited alone."""

    def __init__(self, editor: str, message: str) -> None:
        super().__init__("EDITOR_FAILED", editor, f"editor {editor} failed on this request's image: {message}")


class NonFinite(Unsupported):
    """The model's output for this request's rows holds NaN or infinity, so no score can be trusted."""

    def __init__(self, model: str) -> None:
        super().__init__("NON_FINITE_OUTPUT", model, f"model {model} answered NaN or infinity for this request's rows")


class Exhausted(SidelightError):
    """`subject` (queue, device memory, message size) is full; worth trying again after `retry_after` seconds."""

    def __init__(self, subject: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.subject, self.retry_after = subject, retry_after


class Unavailable(SidelightError):
    """The endpoint does not answer now; worth trying again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VersionGone(SidelightError):
    """The version that the request was pinned to is no longer served: send the whole request again."""

    def __init__(self, model: str, version: str) -> None:
        super().__init__(f"version {version} of model {model} disappeared in mid-request; send the request again")


class DeadlineExceeded(SidelightError):
    """The caller's deadline; `evaluations` rows had been evaluated."""

    def __init__(self, message: str, evaluations: int = 0) -> None:
        super().__init__(message)
        self.evaluations = evaluations


class Cancelled(SidelightError):
    """The caller hung up."""

    def __init__(self, message: str = "the caller hung up") -> None:
        super().__init__(message)
