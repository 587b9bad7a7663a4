"""A batch under way in Triton: its rows, laid out once, and the requests that carry them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from sidelight.core.ask import Model
from sidelight.core.errors import ModelFailed, Unavailable, VersionGone
from sidelight.core.fold import Out
from sidelight.predictors import triton_errors
from sidelight.predictors.shared_memory import Pool, Region
from sidelight.predictors.triton_endpoint import TritonEndpoint
from sidelight.predictors.triton_metadata import Served
from sidelight.predictors.turnstile import Turnstile


@dataclass(frozen=True)
class Part:
    """Rows of one request: `sent` of the layout, padding included, of which `rows` count."""

    sent: slice
    rows: int


class Payload:
    """Rows as Triton reads them, [n, ...]: in a shared region, or in this process to be sent."""

    def __init__(self, rows: torch.Tensor | NDArray[np.object_], lease: tuple[Region, Pool] | None = None) -> None:
        self._rows, self._lease = rows, lease

    def tensor(self, served: Served, part: Part) -> InferInput:
        """The input of one request."""
        rows = self._rows[part.sent]
        spec = served.spec.input
        shape = list(rows.shape) if served.wire.axis else list(rows.shape[1:])
        tensor = InferInput(spec.name, shape, spec.datatype)
        if self._lease and isinstance(rows, torch.Tensor):
            size = rows.numel() * rows.element_size()
            tensor.set_shared_memory(self._lease[0].name, size, rows.storage_offset() * rows.element_size())
        else:
            array = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
            tensor.set_data_from_numpy(array.reshape(shape))
        return tensor

    def register(self, endpoint: TritonEndpoint) -> None:
        """Have Triton map the region anew; where it cannot, the rows are sent instead."""
        if self._lease is None:
            return
        try:
            self._lease[0].register(endpoint.client)
        except (InferenceServerException, ValueError):  # refused, or the connection is closed
            endpoint.forgo_shared_memory()
            rows = self._rows
            self.release()
            self._rows = rows.clone() if isinstance(rows, torch.Tensor) else rows

    def release(self) -> None:
        """Give the region back to its pool. Nothing is asked of the payload after."""
        if self._lease is not None:
            region, pool = self._lease
            pool.give(region)
            self._lease = None
        self._rows = torch.empty(0)


class TritonCall:
    """One batch: its parts go one after another, so that a call is at most one request at a time."""

    def __init__(
        self,
        endpoint: TritonEndpoint,
        turnstile: Turnstile,
        model: Model,
        served: Served,
        payload: Payload,
        parts: Sequence[Part],
        priority: int,
        wake: Callable[[], None],
    ) -> None:
        self._endpoint, self._turnstile, self._model = endpoint, turnstile, model
        self._served, self._payload, self._parts = served, payload, parts
        self._priority, self._wake = priority, wake
        self._outputs = [InferRequestedOutput(served.spec.output.name)]
        self._inputs = [payload.tensor(served, part) for part in parts]  # now, while an earlier batch is computed
        self._answers: list[InferResult] = []
        self._error: InferenceServerException | None = None
        self._context: Any = None
        self._cancelled = False
        self._ended = threading.Event()
        self._lock = threading.RLock()  # an answer may come inside `async_infer`, on the same thread
        turnstile.enter(self._send)

    def done(self) -> bool:
        return self._ended.is_set()

    def result(self) -> Out:
        self._ended.wait()
        if self._error is not None and triton_errors.region_unknown(self._error):
            self._ask_again()
        self._payload.release()
        if self._error is not None:
            raise self._translated(self._error)
        return {"y": torch.cat([self._outputs_of(a, p) for a, p in zip(self._answers, self._parts, strict=True)])}

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._context is not None:
                self._context.cancel()
        self._payload.release()

    # -- requests ----------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send the next part, on this call's turn. Maybe on gRPC's thread, which must not wait."""
        with self._lock:
            if not self._cancelled:
                self._request(self._inputs[len(self._answers)])
                return
        self._turnstile.leave()

    def _request(self, rows: InferInput) -> None:
        seconds = self._endpoint.timeout
        self._endpoint.counted(1)
        try:
            self._context = self._endpoint.client.async_infer(
                self._model.name,
                [rows],
                self._answered,
                model_version=self._model.version,
                outputs=self._outputs,
                priority=self._priority,
                timeout=int(seconds * 1e6),  # microseconds: what is still queued by then is not run
                client_timeout=seconds,
            )
        except ValueError:  # grpc's word for a closed channel
            self._answered(None, InferenceServerException("the connection is closed", "StatusCode.UNAVAILABLE"))

    def _answered(self, result: InferResult | None, error: InferenceServerException | None) -> None:
        """On gRPC's thread, which drops what is raised: the answer is looked into by `result`."""
        self._endpoint.counted(-1)
        self._error = error
        if result is not None:
            self._answers.append(result)
        if error is None and len(self._answers) < len(self._parts):
            self._send()
            return
        self._turnstile.leave()
        if not self._cancelled:
            self._ended.set()
            self._wake()

    def _ask_again(self) -> None:
        """Triton was restarted and knows no region of ours: register it anew and send what was not answered."""
        self._payload.register(self._endpoint)
        self._inputs = [self._payload.tensor(self._served, part) for part in self._parts]
        self._error = None
        self._ended.clear()
        self._turnstile.enter(self._send)
        self._ended.wait()
        if self._error is not None and triton_errors.region_unknown(self._error):
            self._endpoint.forgo_shared_memory()
            self._payload.release()
            raise Unavailable(f"Triton at {self._endpoint.url} does not find the shared memory that it registered")

    def _translated(self, error: InferenceServerException) -> Exception:
        if triton_errors.unreachable(error):
            self._endpoint.lost()
        return triton_errors.translate(error, self._endpoint.url, self._model.name, self._model.version)

    def _outputs_of(self, answer: InferResult, part: Part) -> torch.Tensor:
        """[rows, K] float32 of one answer. Raises VersionGone, ModelFailed."""
        name = self._served.spec.output.name
        response = answer.get_response()
        if response.model_version != self._model.version:
            raise VersionGone(self._model.name, self._model.version)
        y = answer.as_numpy(name)
        if y is None:
            raise ModelFailed(self._model.name, f"its answer has no output {name}")
        sent = part.sent.stop - part.sent.start
        if self._served.wire.axis and (y.ndim == 0 or len(y) != sent):
            raise ModelFailed(self._model.name, f"it answered {sent} rows with {name} of the shape {list(y.shape)}")
        return torch.from_numpy(y.reshape(sent, -1)[: part.rows].astype(np.float32))
