"""A model served by Triton, as a predictor."""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from tritonclient.utils import InferenceServerException

from sidelight.core.ask import Ask, Forward
from sidelight.core.errors import Unavailable, Unknown, Unsupported, VersionGone
from sidelight.core.predictor import Call, Endpoint, ModelSpec
from sidelight.core.sweep import Placement, Rows
from sidelight.predictors import triton_errors
from sidelight.predictors.batching import TILE_ROWS, Batching, column, fill, texts
from sidelight.predictors.card import Card
from sidelight.predictors.serving import DTYPES
from sidelight.predictors.shared_memory import Pool
from sidelight.predictors.triton_call import Part, Payload, TritonCall
from sidelight.predictors.triton_endpoint import TritonEndpoint, by_age
from sidelight.predictors.triton_metadata import DEFAULT_ROWS, Served, served
from sidelight.predictors.turnstile import Turnstile

SERIAL_PAUSE = 0.0015  # seconds after an answer until the instance that gave it counts as idle in Triton
FRESH = 1.0  # seconds for which the list of versions is believed: a burst of requests asks once


class TritonPredictor:
    """All ready versions of one model.

    priority: the level to ask for, 1 the highest; None: the lowest that the model's configuration admits.
    batch_rows: rows in a batch; None: as the configuration prefers.
    """

    depth_wanted = 2  # one batch is rendered and copied while the other is computed

    def __init__(
        self,
        endpoint: TritonEndpoint,
        card: Card,
        *,
        priority: int | None = None,
        batch_rows: int | None = None,
    ) -> None:
        self.name, self.lane = card.model, endpoint.lane
        self.depth = min(self.depth_wanted, endpoint.concurrency)
        self._endpoint, self._card, self._priority, self._batch_rows = endpoint, card, priority, batch_rows
        self._versions: tuple[str, ...] = ()
        self._fresh_until = 0.0
        self._generation = endpoint.generation
        self._served: dict[str, Served] = {}
        self._latest: Served | None = None
        self._pools: dict[str, Pool] = {}
        self._lock = threading.Lock()  # never held while Triton is asked
        self._one_by_one = Turnstile(1, SERIAL_PAUSE)
        self._closed = False
        endpoint.join()

    # -- what is served ----------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint:
        calls = f"{self.depth} calls at once" if self.depth > 1 else "one call at a time"
        level = self._level(self._latest) if self._latest else 0
        words = f"{self._endpoint.url}, {calls}" + (f", priority {level}" if level else "")
        return Endpoint("triton", words, shares_production=True, shared_memory=self._endpoint.shared_memory)

    @property
    def generation(self) -> int:
        """Changes when the connection is lost: what is served after may be something else."""
        return self._endpoint.generation

    @property
    def placement(self) -> Placement:
        dtype = DTYPES.get(self._latest.spec.input.datatype, torch.float32) if self._latest else torch.float32
        # Whole numbers are rounded when the row is complete, not while it is blended.
        return Placement(self._endpoint.device, dtype if dtype.is_floating_point else torch.float32)

    @property
    def tile_rows(self) -> int:
        return min(TILE_ROWS, self.batch_rows)

    @property
    def batch_rows(self) -> int:
        return self._latest.wire.rows(self._batch_rows) if self._latest else self._batch_rows or DEFAULT_ROWS

    def versions(self) -> tuple[str, ...]:
        if self._generation != self._endpoint.generation or time.monotonic() >= self._fresh_until:
            generation, found = self._endpoint.generation, self._ready_versions()
            with self._lock:
                if found != self._versions or generation != self._generation:
                    self._served.clear()
                self._versions, self._generation, self._fresh_until = found, generation, time.monotonic() + FRESH
        return self._versions

    def spec(self, version: str | None = None) -> ModelSpec:
        ready = self.versions()
        if not ready:
            raise self._endpoint.missing(self.name)
        if version is not None and version not in ready:
            raise Unknown("version", version, ready)
        try:
            known = self._serving(version or ready[-1])
        except VersionGone:
            raise Unknown("version", version or ready[-1], ready) from None
        if known.spec.version == ready[-1]:
            self._latest = known
        return known.spec

    def _ready_versions(self) -> tuple[str, ...]:
        try:
            metadata = self._endpoint.ask(self._endpoint.client.get_model_metadata, self.name)
        except InferenceServerException as error:
            if triton_errors.unknown_model(error):
                raise self._endpoint.missing(self.name) from None
            raise Unavailable(f"Triton at {self._endpoint.url}: {error.message()}") from None
        return by_age(metadata.versions)

    def _serving(self, version: str) -> Served:
        """What is known of a version. Raises VersionGone, Unavailable, CardError, Unsupported."""
        if known := self._served.get(version):
            return known
        client = self._endpoint.client
        try:
            metadata = self._endpoint.ask(client.get_model_metadata, self.name, version)
            config = self._endpoint.ask(client.get_model_config, self.name, version).config
        except InferenceServerException as error:
            if triton_errors.unknown_model(error):
                raise VersionGone(self.name, version) from None
            raise Unavailable(f"Triton at {self._endpoint.url}: {error.message()}") from None
        known = served(metadata, config, version, self._card)
        with self._lock:
            self._served[version] = known
        return known

    def _level(self, known: Served) -> int:
        """The request's priority; 0: not said."""
        levels = known.wire.levels
        return min(self._priority or levels, levels)

    # -- batches -----------------------------------------------------------------------------------------------------

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Call:
        if not isinstance(ask, Forward) or ask.at or ask.model.variant:
            raise Unsupported("FORWARD_ONLY", self.name, f"model {self.name} is served by Triton: outputs only")
        if self._closed:
            raise Unavailable("the service is shutting down")
        known = self._serving(ask.model.version)
        batching = known.wire.batching(self._batch_rows)
        if known.spec.modality == "text":
            payload, parts = self._texts(known, batching, tiles, ask.exact)
        else:
            payload, parts = self._tensors(known, batching, tiles, ask)
        turnstile = self._one_by_one if known.wire.serial else self._endpoint.turnstile
        return TritonCall(self._endpoint, turnstile, ask.model, known, payload, parts, self._level(known), wake)

    def _tensors(
        self, known: Served, batching: Batching, tiles: Sequence[Rows], ask: Forward
    ) -> tuple[Payload, list[Part]]:
        pieces = column(tiles, known.spec.input.name)
        dtype = DTYPES[known.spec.input.datatype]
        parts = _parts(batching, sum(map(len, pieces)), ask.exact)
        shape = (parts[-1].sent.stop, *pieces[0].shape[1:])
        payload = self._shared(ask.model.version, dtype, shape, pieces, batching.rows)
        if payload is None:
            rows = torch.empty(shape, dtype=dtype)
            fill(rows, pieces)
            payload = Payload(rows)
        return payload, parts

    def _shared(
        self, version: str, dtype: torch.dtype, shape: tuple[int, ...], pieces: Sequence[torch.Tensor], rows: int
    ) -> Payload | None:
        """The rows in a shared region; None where they have to be sent."""
        if not self._endpoint.shares_memory():
            return None
        pool = self._pool(version)
        size = max(shape[0], rows) * torch.Size(shape[1:]).numel() * dtype.itemsize
        try:
            region = pool.take(size)
        except (OSError, RuntimeError):  # no room in /dev/shm, or on the GPU
            self._endpoint.forgo_shared_memory()
            return None
        except InferenceServerException as error:
            if triton_errors.unreachable(error):
                self._endpoint.lost()
                raise triton_errors.translate(error, self._endpoint.url, self.name, version) from None
            self._endpoint.forgo_shared_memory()
            return None
        laid = region.tensor(dtype, shape)
        fill(laid, pieces)
        region.flush()
        return Payload(laid, (region, pool))

    def _texts(
        self, known: Served, batching: Batching, tiles: Sequence[Rows], exact: bool
    ) -> tuple[Payload, list[Part]]:
        rows = texts(tiles, known.spec.input.name)
        parts = _parts(batching, len(rows), exact)
        rows += rows[-1:] * (parts[-1].sent.stop - len(rows))
        ones = [1] * len(known.spec.input.shape)
        return Payload(np.array([text.encode() for text in rows], dtype=np.object_).reshape(-1, *ones)), parts

    def _pool(self, version: str) -> Pool:
        """The regions of a version; those of versions that have gone, and that no call uses, are given back."""
        with self._lock:
            gone = [v for v, pool in self._pools.items() if v not in self._served and v != version and pool.idle]
            idle = [self._pools.pop(v) for v in gone]
            pool = self._pools.setdefault(version, self._endpoint.pool())
        for old in idle:
            old.close()
        return pool

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for pool in self._pools.values():
            pool.close()
        self._endpoint.leave()


def _parts(batching: Batching, rows: int, exact: bool) -> list[Part]:
    """The requests for `rows` rows, the last of them padded."""
    chunks = batching.chunks(rows)
    return [Part(slice(c.start, c.start + batching.padded(len(c), exact)), len(c)) for c in chunks]
