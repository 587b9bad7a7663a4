"""What Triton says of a model, its metadata and its configuration, in this service's terms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2

from sidelight.core.errors import Unsupported
from sidelight.core.predictor import ModelSpec, TensorSpec
from sidelight.predictors.batching import TILE_ROWS, Batching
from sidelight.predictors.card import Card
from sidelight.predictors.serving import Offered, describe, split_batch

DEFAULT_ROWS = 16  # where the configuration prefers nothing: 10 MB of 224 x 224 pixels
MOST_ROWS = 64
LONE_ROWS = 4  # rows of a call for a model that takes them one by one
_LAYOUTS = {model_config_pb2.ModelInput.FORMAT_NCHW: "NCHW", model_config_pb2.ModelInput.FORMAT_NHWC: "NHWC"}


@dataclass(frozen=True)
class Wire:
    """How rows travel to one version of a model."""

    axis: bool  # whether its tensors have a batch axis
    most: int  # rows in one request
    fixed: bool  # exactly `most` rows, never fewer
    preferred: int  # rows of the best batch, as far as the configuration says
    levels: int  # priority levels, 1 the highest; 0: the model has none
    serial: bool  # whether requests had better come one at a time

    def batching(self, wanted: int | None) -> Batching:
        """The shapes of requests, for `wanted` rows or else those that the model prefers."""
        if self.fixed:
            return Batching((self.most,))
        return Batching.upto(min(wanted or self.preferred, self.most))

    def rows(self, wanted: int | None) -> int:
        """Rows worth handing over at once: up to TILE_ROWS, or a multiple of it."""
        rows = self.batching(wanted).rows if self.most > 1 else LONE_ROWS
        return rows if rows <= TILE_ROWS else rows - rows % TILE_ROWS


@dataclass(frozen=True)
class Served:
    """One version of a model: its specification and its wire."""

    spec: ModelSpec
    wire: Wire


def served(metadata: Any, config: Any, version: str, card: Card) -> Served:
    """Put together a ModelMetadataResponse and a ModelConfig. Raises CardError, Unsupported."""
    if config.model_transaction_policy.decoupled:
        raise Unsupported("DECOUPLED_MODEL", card.model, f"model {card.model} answers a stream (decoupled), not a row")
    if config.HasField("sequence_batching"):
        raise Unsupported("STATEFUL_MODEL", card.model, f"model {card.model} keeps state between rows (sequences)")
    batches: dict[str, int | None] = {}
    inputs = {}
    for tensor in metadata.inputs:
        shape = tuple(tensor.shape)
        batch, row = (shape[0], shape[1:]) if config.max_batch_size else split_batch(tensor.datatype, shape)
        inputs[tensor.name], batches[tensor.name] = TensorSpec(tensor.name, tensor.datatype, row), batch
    skip = 0 if all(batch is None for batch in batches.values()) else 1
    outputs = {t.name: TensorSpec(t.name, t.datatype, tuple(t.shape)[skip:]) for t in metadata.outputs}
    layouts = {i.name: _LAYOUTS[i.format] for i in config.input if i.format in _LAYOUTS}
    optional = frozenset(i.name for i in config.input if i.optional)
    spec = describe(Offered(card.model, version, metadata.platform, inputs, optional, outputs, layouts), card)
    return Served(spec, _wire(config, batches[spec.input.name]))


def _wire(config: Any, batch: int | None) -> Wire:
    batcher = config.dynamic_batching if config.HasField("dynamic_batching") else None
    levels = batcher.priority_levels if batcher else 0
    serial = bool(batcher) and _stalls(config)
    if batch is None:
        return Wire(False, 1, True, 1, levels, serial)
    if not config.max_batch_size and batch > 0:
        return Wire(True, batch, True, batch, levels, serial)
    most = config.max_batch_size or MOST_ROWS
    preferred = _largest(batcher.preferred_batch_size if batcher else (), DEFAULT_ROWS)
    return Wire(True, most, False, min(preferred, most), levels, serial)


def _stalls(config: Any) -> bool:
    """Whether a request is likely to stall that comes while another is computed.

    Where a queue has policies (priorities are one) and a single instance is busy, or was until just now, Triton (seen
    in 2.51) may miss that the instance has become idle, and looks again after half a second only.
    """
    batcher = config.dynamic_batching
    policies = batcher.priority_levels or batcher.priority_queue_policy or batcher.HasField("default_queue_policy")
    return bool(policies) and sum(group.count * max(1, len(group.gpus)) for group in config.instance_group) <= 1


def _largest(sizes: Iterable[int], default: int) -> int:
    return max((n for n in sizes if n <= MOST_ROWS), default=default)
