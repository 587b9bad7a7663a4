"""Triton's errors in the domain's words. Triton has few status codes, so messages must tell some cases apart."""

from tritonclient.utils import InferenceServerException

from sidelight.core.errors import Exhausted, ModelFailed, SidelightError, Unavailable, VersionGone

RETRY_AFTER = 1.0  # seconds; a channel tries to connect again about as often
_MEMORY = ("out of memory", "outofmemory", "failed to allocate", "bad_alloc", "cannot allocate memory")
_DOWN = ("is not healthy", "stream removed", "rst_stream", "server is stopping", "socket closed")


def code(error: InferenceServerException) -> str:
    """The gRPC status code's name, "UNAVAILABLE"; empty for an error of the client library itself."""
    return (error.status() or "").removeprefix("StatusCode.")


def unknown_model(error: InferenceServerException) -> bool:
    """Whether Triton does not serve the model, or the version, that was asked for."""
    message = error.message().lower()
    return "unknown model" in message or ("version" in message and "not at ready state" in message)


def region_unknown(error: InferenceServerException) -> bool:
    """Whether Triton does not know a shared-memory region: it was restarted, or another Triton answers this address."""
    return "unable to find shared memory region" in error.message().lower()


def region_in_use(error: InferenceServerException) -> bool:
    """Whether Triton will not forget a region because it is still reading from it."""
    return "currently in use" in error.message().lower()


def translate(error: InferenceServerException, url: str, model: str, version: str) -> SidelightError | MemoryError:
    """What `error` of a request to `version` of `model` means."""
    message, status = error.message() or "", code(error)
    lower = message.lower()
    if unknown_model(error):
        return VersionGone(model, version)
    if any(sign in lower for sign in _MEMORY):
        return MemoryError(f"Triton at {url}: {message}")
    if status == "DEADLINE_EXCEEDED":
        return Unavailable(f"Triton at {url} did not answer for model {model} in time", RETRY_AFTER)
    if status in ("UNAVAILABLE", "CANCELLED") or any(sign in lower for sign in _DOWN):
        return Unavailable(f"Triton at {url} is unavailable: {message}", RETRY_AFTER)
    if status == "RESOURCE_EXHAUSTED":
        return Exhausted("message size", f"Triton at {url}: {message}")
    return ModelFailed(model, message)


def unreachable(error: InferenceServerException) -> bool:
    """Whether the server itself does not answer, rather than one of its models."""
    return code(error) in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED") and not unknown_model(error)
