"""A network in this process, as a predictor: forward passes on its CPU or on one of its GPUs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from sidelight.core.ask import Ask, Forward
from sidelight.core.errors import ModelFailed, SidelightError, Unknown, Unsupported
from sidelight.core.predictor import Call, Endpoint, ModelSpec, TensorSpec
from sidelight.core.sweep import Placement, Rows
from sidelight.predictors.batching import TILE_ROWS, Batching, column, lay, texts
from sidelight.predictors.card import Card
from sidelight.predictors.embedded_call import Finished, UnderWay, Watcher, translate
from sidelight.predictors.fit import CHANNELS
from sidelight.predictors.networks import Network, picked
from sidelight.predictors.serving import DTYPES, Offered, describe, row_shape
from sidelight.predictors.tuning import Tuned, best_batch, tune
from sidelight.predictors.vocabulary import vocabulary

PRECISIONS = ("float32", "bfloat16", "float16", "auto")
_TOKENS = 16  # length of the rows that are tried, for models of any length
_TEXT_ROWS = 8


class EmbeddedPredictor:
    """One version of a model, run by `network`.

    precision: "auto" takes the fastest; a network that is no torch module runs as it is stored. channels_last: "auto",
    True or False. batch_rows: None takes the fastest. What is left open is measured here, in some seconds.
    Raises CardError, ValueError for an option, ModelFailed where the network does not run.
    """

    def __init__(
        self,
        network: Network,
        card: Card,
        device: torch.device | str = "cpu",
        *,
        precision: str = "float32",
        channels_last: bool | str = "auto",
        batch_rows: int | None = None,
        version: str = "1",
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        if channels_last not in ("auto", True, False):
            raise ValueError(f"channels_last is auto, true or false, not {channels_last!r}")
        self._device = torch.device(device)
        self.name, self.lane = card.model, str(self._device)
        self.depth = 2 if self._device.type == "cuda" else 1
        self._card, self._platform, self._forward = card, network.platform, network.forward
        self.network: Network | None = network  # of which a differentiable twin can be made, until `forget`
        self.tuned: Tuned | None = None  # the form of it that rows run through, where a twin can share that
        offered = _offered(network, card, version)
        self._spec = describe(offered, card)
        self._whole = not self._spec.input.datatype.startswith("FP")  # whole numbers, or texts
        dtype = torch.float32 if self._whole else DTYPES[self._spec.input.datatype]
        self.placement, self._precision = Placement(self._device, dtype), "as_served"
        if network.module is not None:
            self._tune(network.module, precision, channels_last)
        elif precision not in ("auto", "float32"):
            raise ValueError(f"precision {precision} needs a torch module; {card.model} runs as it is stored")
        self._batching = self._measured_batching(network, batch_rows)
        # A cache may like the network's own batches small; handing over several at once saves what each costs the lane.
        self.tile_rows = TILE_ROWS
        self.batch_rows = max(2 * TILE_ROWS, self._batching.rows - self._batching.rows % TILE_ROWS)
        self._spec = self._completed(offered, network.digest)
        self._watcher = Watcher() if self._device.type == "cuda" else None

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint:
        form = ", channels last" if self.placement.channels_last else ""
        return Endpoint("embedded", f"{self._device}, {self._platform}, {self._precision}{form}", False)

    def versions(self) -> tuple[str, ...]:
        return (self._spec.version,)

    def spec(self, version: str | None = None) -> ModelSpec:
        if version not in (None, self._spec.version):
            raise Unknown("version", str(version), self.versions())
        return self._spec

    def forget(self) -> None:
        """Keep no more of the network than what rows run through."""
        self.network = None

    def close(self) -> None:
        if self._watcher:
            self._watcher.close()

    # -- setting up --------------------------------------------------------------------------------------------------

    def _tune(self, module: torch.nn.Module, precision: str, channels_last: bool | str) -> None:
        image = self._spec.modality == "image" and self._spec.pixels.layout == "NCHW"
        last = (None if channels_last == "auto" else bool(channels_last)) if image else False
        try:
            tuned = tune(module, self._trial, self._device, precision, last)
        except RuntimeError as error:
            raise ModelFailed(self.name, f"in a trial on {self._device}: {error}") from error
        self._forward, self.placement, self._precision = tuned.module, tuned.placement, tuned.precision
        if tuned.precision == "float32":
            self.tuned = tuned

    def _trial(self, rows: int, on: Placement) -> Any:
        """Rows to try, as `start` would lay them."""
        if self._spec.modality == "text":
            return [""] * rows
        shape = (rows, *(_TOKENS if size == -1 else size for size in row_shape(self._spec)))
        if self._whole:
            return torch.ones(shape, dtype=DTYPES[self._spec.input.datatype], device=on.device)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return x.to(device=on.device, dtype=on.dtype, memory_format=on.layout(x.dim()))

    def _measured_batching(self, network: Network, wanted: int | None) -> Batching:
        if network.fixed_rows:
            return Batching((network.fixed_rows,))
        if wanted is None and self._spec.modality == "text":
            wanted = _TEXT_ROWS
        return Batching.upto(
            wanted or best_batch(self._forward, lambda n: self._trial(n, self.placement), self._device)
        )

    def _completed(self, offered: Offered, digest: str) -> ModelSpec:
        """The specification with the shape of the output as it is in a run."""
        n = self._batching.padded(1, exact=False)
        y = self._run(self._trial(n, self.placement))
        output = TensorSpec(self._spec.output.name, "FP32", tuple(y.shape[1:]))
        spec = describe(replace(offered, outputs={**offered.outputs, output.name: output}), self._card)
        return replace(spec, digest=digest, precision=self._precision, vocabulary=self._vocabulary(n))

    def _vocabulary(self, rows: int) -> int:
        if self._spec.modality != "tokens":
            return 0
        (length,) = (_TOKENS if size == -1 else size for size in row_shape(self._spec))
        return vocabulary(self._run, rows, length, DTYPES[self._spec.input.datatype], self._device)

    # -- batches -----------------------------------------------------------------------------------------------------

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Call:
        if not isinstance(ask, Forward) or ask.at or ask.model.variant:
            raise Unsupported("FORWARD_ONLY", self.name, f"model {self.name} gives outputs only")
        if ask.model.version != self._spec.version:
            raise Unknown("version", ask.model.version, self.versions())
        lay = self._texts if self._spec.modality == "text" else self._tensors
        answers = [self._run(rows)[:count].flatten(1).float() for rows, count in lay(tiles, ask.exact)]
        y = answers[0] if len(answers) == 1 else torch.cat(answers)
        if self._watcher:
            return UnderWay(self.name, {"y": y}, self._watcher, wake)
        return Finished({"y": y.cpu()}, wake)

    def _tensors(self, tiles: Sequence[Rows], exact: bool) -> list[tuple[torch.Tensor, int]]:
        """The rows as the network takes them, padded, with how many of them count."""
        parts = column(tiles, self._spec.input.name)
        total = sum(map(len, parts))
        chunks = [(chunk, self._batching.padded(len(chunk), exact)) for chunk in self._batching.chunks(total)]
        last, padded = chunks[-1]
        dtype = DTYPES[self._spec.input.datatype] if self._whole else self.placement.dtype
        x = lay(parts, last.start + padded, self.placement, dtype)
        return [(x[chunk.start : chunk.start + padded], len(chunk)) for chunk, padded in chunks]

    def _texts(self, tiles: Sequence[Rows], exact: bool) -> list[tuple[list[str], int]]:
        rows = texts(tiles, self._spec.input.name)
        laid = []
        for chunk in self._batching.chunks(len(rows)):
            part = rows[chunk.start : chunk.stop]
            laid.append((part + part[-1:] * (self._batching.padded(len(part), exact) - len(part)), len(part)))
        return laid

    def _run(self, rows: torch.Tensor | list[str]) -> torch.Tensor:
        """The output tensor. Raises MemoryError where the device is full, ModelFailed for any other failure."""
        try:
            with torch.no_grad():  # not in inference mode: what the module then caches would fail its twin's gradients
                y = self._output(self._forward(rows))
        except SidelightError:
            raise
        except Exception as error:  # somebody else's network may raise anything, and only its request must fail
            raise translate(self.name, error) from error
        if len(y) != len(rows):
            raise ModelFailed(self.name, f"it answered {len(rows)} rows with the shape {list(y.shape)}")
        return y

    def _output(self, y: Any) -> torch.Tensor:
        """[n, ...] of what the network returned: a tensor, or several by name or by place."""
        try:
            return picked(y, self._card.output)
        except KeyError as missing:
            raise self._card.error("output.name", f"one of the network's: {missing.args[0]}") from None


def _offered(network: Network, card: Card, version: str) -> Offered:
    """What the network's file says of it, or else the card."""
    inputs, outputs = network.inputs, network.outputs
    if inputs is None:
        source = _input_by_card(card)
        inputs = {source.name: source}
    if outputs is None:
        name = card.output or "output"
        outputs = {name: TensorSpec(name, "FP32", (-1,))}
    return Offered(card.model, version, network.platform, inputs, frozenset(), outputs, {})


def _input_by_card(card: Card) -> TensorSpec:
    name = card.input or "input"
    if card.kind == "text":
        return TensorSpec(name, "BYTES", ())
    if card.kind == "tokens":
        return TensorSpec(name, "INT64", (-1,))
    if card.crop is None:
        raise card.error("input.crop", "the [height, width] that the network takes: its file does not say it")
    channels = CHANNELS[card.order or "RGB"]
    shape = (*card.crop, channels) if card.layout == "NHWC" else (channels, *card.crop)
    return TensorSpec(name, "FP32", shape)
