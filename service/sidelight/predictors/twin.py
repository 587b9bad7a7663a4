"""The differentiable twin: the served model in this process, with gradients and with something else at its layers."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from sidelight.core.ask import INPUT, TWIN, Activation, Ask, Forward, Gradient
from sidelight.core.errors import InvalidRequest, ModelFailed, SidelightError, Unknown, Unsupported
from sidelight.core.predictor import Call, Endpoint, ModelSpec, Twin, Unit
from sidelight.core.sweep import Placement, Rows
from sidelight.core.target import outputs, weighed
from sidelight.predictors.batching import TILE_ROWS, Batching, column, lay, texts
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.embedded_call import Finished, UnderWay, Watcher, translate
from sidelight.predictors.explanation import PROBES, probes
from sidelight.predictors.layers import captured, narrowed, replaced, undisturbed
from sidelight.predictors.listing import Listing, Samples, listed
from sidelight.predictors.networks import Network, picked
from sidelight.predictors.randomised import Copies
from sidelight.predictors.samples import LENGTHS, image_samples, text_samples, token_samples
from sidelight.predictors.serving import row_shape
from sidelight.predictors.tuning import Tuned, best_batch, placed, tune
from sidelight.predictors.upstream import Upstream

_DEPTH = {"cpu": 1, "cuda": 2}
_TEXT_ROWS = {"cpu": 8, "cuda": 32}

Batch = torch.Tensor | list[str]


class TwinPredictor:
    """The network `network` as the twin of the served model `spec`, on `device` in float32.

    layers: names to list; none: all. tuned: a form of it in float32 that is there already; else the fastest is looked
    for, in some seconds. batch_rows: None takes the fastest for forward and backward.
    Raises Unsupported or ModelFailed where the network cannot be the twin.
    """

    def __init__(
        self,
        network: Network,
        spec: ModelSpec,
        device: torch.device | str = "cpu",
        *,
        tolerance: float = 1e-3,
        layers: Sequence[str] = (),
        tuned: Tuned | None = None,
        batch_rows: int | None = None,
    ) -> None:
        if network.module is None:
            raise _no_twin(spec, f"it runs in {network.platform}, which gives no gradients")
        self._device = torch.device(device)
        self.name, self.lane, self.depth = spec.name, str(self._device), _DEPTH[self._device.type]
        self._platform, self._fixed = network.platform, network.fixed_rows
        self._spec = replace(spec, platform=network.platform, digest=network.digest, precision="float32")
        self._image = spec.modality == "image"
        self._hooks = not isinstance(network.module, torch.jit.ScriptModule)
        tuned = tuned or self._tuned(network.module)
        self._module, self.placement, self._changed = tuned.module, tuned.placement, tuned.folded
        # Where something stands for the output of a convolution that has taken over its norm, the norm has to follow.
        self._plain = placed(network.module, tuned.placement) if tuned.folded else tuned.module
        rows = self._fixed or batch_rows or self._best_rows()
        self._batching = Batching((rows,)) if self._fixed else Batching.upto(rows)
        self.tile_rows = TILE_ROWS
        self.batch_rows = max(2 * TILE_ROWS, rows - rows % TILE_ROWS)
        self._listing = self._listed(layers)
        self.twin = self._described(network, tolerance)
        self._before = Upstream(self._run, self._listing, self._samples, alike=not self._image)
        self._copies = Copies(self._plain, self._listing)
        self._watcher = Watcher() if self._device.type == "cuda" else None

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint:
        form = ", channels last" if self.placement.channels_last else ""
        return Endpoint("twin", f"{self._device}, {self._platform}, float32{form}", False)

    def versions(self) -> tuple[str, ...]:
        return (self._spec.version,)

    def spec(self, version: str | None = None) -> ModelSpec:
        return self._spec

    def probes(self) -> Rows:
        """Rows to compare with the served model on."""
        return probes(self._spec)

    def close(self) -> None:
        if self._watcher:
            self._watcher.close()

    # -- setting up --------------------------------------------------------------------------------------------------

    def _tuned(self, module: nn.Module) -> Tuned:
        if self._platform == "torch.export":  # layouts are part of the graph
            return Tuned(module, Placement(self._device), "float32")
        last = None if self._image and self._spec.pixels.layout == "NCHW" else False
        try:
            return tune(module, self._trial, self._device, "float32", last, backward=True)
        except RuntimeError as error:
            raise _no_twin(self._spec, f"in a trial on {self._device}: {error}") from error

    def _trial(self, rows: int, on: Placement) -> torch.Tensor:
        shape = tuple(LENGTHS[0] if size == -1 else size for size in row_shape(self._spec))
        x = torch.randn((rows, *shape), generator=torch.Generator().manual_seed(0))
        return x.to(device=on.device, dtype=on.dtype, memory_format=on.layout(x.dim()))

    def _best_rows(self) -> int:
        if not self._image:
            return _TEXT_ROWS[self._device.type]
        run = self._run_of(self._module)
        return best_batch(run, lambda n: self._trial(n, self.placement), self._device, backward=True)

    def _listed(self, layers: Sequence[str]) -> Listing:
        if not self._hooks:
            return Listing((), {}, {}, {}, frozenset())
        with undisturbed(self._plain):
            try:
                return listed(self._plain, self._run_of(self._plain), self._samples(), layers or None)
            except Unknown as error:
                raise _no_twin(self._spec, f"[models.twin] layers: {error}") from error

    def _samples(self) -> Samples:
        if self._image:
            rows = self._laid([self.probes()[self._spec.input.name]], PROBES)  # type: ignore[list-item]
            return image_samples(rows, self._fixed)
        if self._spec.modality == "tokens" or self._takes_ids():
            fixed = self._spec.input.shape[-1] if self._spec.modality == "tokens" and self._spec.input.shape else -1
            return token_samples(fixed, self._ids_dtype, self._device)
        return text_samples()

    @property
    def _ids_dtype(self) -> torch.dtype:
        return torch.int32 if self._spec.input.datatype == "INT32" else torch.int64

    def _takes_ids(self) -> bool:
        """Whether a module of texts takes token ids too."""
        try:
            with undisturbed(self._module), torch.no_grad():
                self._run(self._module, torch.ones((1, 4), dtype=torch.int64, device=self._device))
        except Exception:  # noqa: BLE001 - somebody else's network may raise anything at what it does not take
            return False
        return True

    def _described(self, network: Network, tolerance: float) -> Twin:
        module, layers = self._module, self._listing.layers
        embedding = getattr(module, "embedding", "")
        if not isinstance(embedding, str):
            embedding = ""
        if not embedding and not self._image:
            tables = (one.name for one in layers if isinstance(module.get_submodule(one.name), nn.Embedding))
            embedding = next(tables, "")
        if embedding and embedding not in [one.name for one in layers]:
            raise _no_twin(self._spec, f"its factory calls {embedding!r} the embedding, which is no layer of it")
        offered = getattr(module, "pieces", None)
        pieces = _units(offered) if callable(offered) and self._spec.modality == "text" else None
        note = "" if self._hooks else "TorchScript: its input only, since hooks on the layers of a script module raise"
        ids, blank = getattr(module, "ids", None), getattr(module, "blank", None)
        return Twin(
            layers,
            network.digest,
            tolerance,
            embedding=embedding,
            pieces=pieces,
            ids=ids if callable(ids) and pieces else None,
            blank=blank if isinstance(blank, int) else None,
            specials=frozenset() if self._image else frozenset(getattr(module, "specials", ())),
            note=note,
        )

    # -- batches -----------------------------------------------------------------------------------------------------

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Call:
        if not isinstance(ask, Forward | Activation | Gradient):
            raise Unsupported("NO_EXECUTOR", ask.kind, f"a twin answers no {ask.kind} asks")
        self._check(ask.at)
        parts = self._answers(ask, self._network(ask.model.variant, ask.at), tiles)
        out = {
            name: torch.cat([part[name] for part in parts]) if len(parts) > 1 else parts[0][name] for name in parts[0]
        }
        if self._watcher:
            return UnderWay(self.name, out, self._watcher, wake)
        return Finished(out, wake)

    def _check(self, at: Sequence[str]) -> None:
        known = [one.name for one in self._listing.layers]
        for name in at:
            if name != INPUT and name not in known:
                raise Unknown("layer", name, known)

    def _answers(
        self, ask: Forward | Activation | Gradient, module: nn.Module, tiles: Sequence[Rows]
    ) -> list[dict[str, torch.Tensor]]:
        """The answers, chunk by chunk."""
        put = () if isinstance(ask, Activation) else ask.at
        source = f"a.{INPUT}" if INPUT in put else self._spec.input.name
        given = _is_text(tiles, source)
        total = len(texts(tiles, source)) if given else sum(map(len, column(tiles, source)))
        upstream = self._upstream(put, tiles)
        batching = self._batching_of(put) if upstream else self._batching
        chunks = [(chunk, batching.padded(len(chunk), ask.exact)) for chunk in batching.chunks(total)]
        laid = chunks[-1][0].start + chunks[-1][1]
        values = {name: self._laid(column(tiles, f"a.{name}"), laid) for name in put}
        w = self._weights(tiles, laid) if isinstance(ask, Gradient) else None
        x: Batch
        if INPUT in put:
            x = values[INPUT]
        elif given:
            x = (rows := texts(tiles, source)) + rows[-1:] * (laid - total)
        elif upstream:  # what stands there does not matter
            x = (first := self._laid([column(tiles, source)[0][:1]], 1)).expand(laid, *first.shape[1:])
        else:
            x = self._laid(column(tiles, source), laid)
        answers = []
        with undisturbed(module):
            for chunk, padded in chunks:
                here = slice(chunk.start, chunk.start + padded)
                part = {name: value[here] for name, value in values.items()}
                with narrowed(module, upstream, self._listing.repeated if upstream else (), padded):
                    out = self._pass(ask, module, x[here], part, None if w is None else w[here])
                answers.append({name: t[: len(chunk)] for name, t in out.items()})
        return answers

    def _pass(
        self,
        ask: Forward | Activation | Gradient,
        module: nn.Module,
        x: Batch,
        values: Mapping[str, torch.Tensor],
        w: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """One batch. Raises MemoryError where the device is full, ModelFailed for any other failure."""
        try:
            if isinstance(ask, Gradient):
                assert w is not None
                return self._gradients(ask, module, x, values, w)
            with torch.no_grad():
                if isinstance(ask, Activation):
                    return self._activations(ask, module, x)
                inner = {name: value for name, value in values.items() if name != INPUT}
                with replaced(module, inner):
                    y = self._run(module, x.clone() if INPUT in values else x)  # type: ignore[union-attr]
            return {"y": y.flatten(1).float()}
        except SidelightError:
            raise
        except Exception as error:  # somebody else's network may raise anything, and only its request must fail
            raise translate(self.name, error) from error

    def _activations(self, ask: Activation, module: nn.Module, x: Batch) -> dict[str, torch.Tensor]:
        inner = [name for name in ask.at if name != INPUT]
        with captured(module, inner) as seen:
            y = self._run(module, x)
        found = {f"a.{name}": x if name == INPUT else seen[name] for name in ask.at}
        if INPUT in ask.at and not isinstance(x, torch.Tensor):
            raise InvalidRequest("at", "a text has no activation; ask for the layer of its token embeddings")
        return {"y": y.flatten(1).float(), **found}  # type: ignore[dict-item]

    def _gradients(
        self, ask: Gradient, module: nn.Module, x: Batch, values: Mapping[str, torch.Tensor], w: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """One backward pass of the sum of s over rows: rows know nothing of each other, so each gets its own."""
        leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
        inner = {name: leaf for name, leaf in leaves.items() if name != INPUT}
        with torch.enable_grad():
            with replaced(module, inner):
                y = self._run(module, leaves[INPUT].clone() if INPUT in leaves else x)
            s = weighed(outputs(y, self._spec.kind), self._spec.kind, ask.link, w)
            grads: Sequence[torch.Tensor]
            if s.requires_grad:
                grads = torch.autograd.grad(s.sum(), list(leaves.values()), materialize_grads=True)
            else:  # what is substituted does not reach the output
                grads = [torch.zeros_like(leaf) for leaf in leaves.values()]
        found = {f"g.{name}": g for name, g in zip(leaves, grads, strict=True)}
        return {"y": y.detach().flatten(1).float(), "s": s.detach(), **found}

    def _run(self, module: nn.Module, x: Batch) -> torch.Tensor:
        """[n, ...]: the served model's output among what the network returned."""
        y, name = module(x), self._spec.output.name
        try:
            return picked(y, name)
        except KeyError as missing:
            raise ModelFailed(self.name, f"its twin returns {missing.args[0]}, and no {name}") from None

    def _run_of(self, module: nn.Module) -> Callable[[Any], torch.Tensor]:
        return lambda x: self._run(module, x)

    # -- laying rows -------------------------------------------------------------------------------------------------

    def _laid(self, parts: Sequence[torch.Tensor], rows: int) -> torch.Tensor:
        """The rows as the network takes them, filled up to `rows` with the last."""
        whole = not parts[0].is_floating_point() and not self._image
        return lay(parts, rows, self.placement, self._ids_dtype if whole else self.placement.dtype)

    def _weights(self, tiles: Sequence[Rows], rows: int) -> torch.Tensor:
        return lay(column(tiles, "w"), rows, self.placement, torch.float64)

    # -- one row before a cut ----------------------------------------------------------------------------------------

    def _upstream(self, put: tuple[str, ...], tiles: Sequence[Rows]) -> tuple[str, ...]:
        """Submodules that may run on one row, since what `put` replaces is all that the output gets of them."""
        if not put or INPUT in put or self._fixed:
            return ()
        if not self._image and not _alike(tiles, self._spec.input.name):  # a text's mask passes its layers by
            return ()
        return self._before.of(self._network(TWIN, put), put)

    def _batching_of(self, put: tuple[str, ...]) -> Batching:
        """Batches from a layer on: as large as one of the whole network is in memory."""
        whole = max(self._listing.elements.values())
        share = max(self._listing.elements[name] for name in put)
        rows = min(self.batch_rows, self._batching.rows * whole // share)
        return Batching.upto(max(self._batching.rows, 1 << int(math.log2(rows))))

    def _network(self, variant: str, at: Sequence[str]) -> nn.Module:
        """The module of a variant for asks at these layers: the twin, or a copy with random weights from one on."""
        if variant not in ("", TWIN):
            return self._copies.get(variant)
        return self._plain if self._changed.intersection(at) else self._module


def own_twin(
    predictor: EmbeddedPredictor, spec: ModelSpec, device: torch.device | None = None, **options: Any
) -> TwinPredictor:
    """The twin of a model in this process: its own network, on one device in one copy."""
    if predictor.network is None:
        raise _no_twin(spec, "its network was not kept")
    here = predictor.placement.device
    tuned = predictor.tuned if device in (None, here) else None
    return TwinPredictor(predictor.network, spec, device or here, tuned=tuned, **options)


@dataclass(frozen=True)
class _Units:
    """A factory's `pieces`, in the domain's words."""

    pieces: Callable[[str], Sequence[tuple[int, int]]]

    def __call__(self, text: str) -> tuple[Unit, ...]:
        return tuple(Unit(begin, end) for begin, end in self.pieces(text))


def _units(pieces: Callable[[str], Sequence[tuple[int, int]]]) -> Callable[[str], tuple[Unit, ...]]:
    return _Units(pieces)


def _no_twin(spec: ModelSpec, why: str) -> Unsupported:
    return Unsupported("NO_TWIN", spec.name, f"model {spec.name} has no differentiable twin: {why}")


def _is_text(tiles: Sequence[Rows], name: str) -> bool:
    return bool(tiles) and name in tiles[0] and not isinstance(tiles[0][name], torch.Tensor)


def _alike(tiles: Sequence[Rows], name: str) -> bool:
    """Whether all rows of an input column are the same."""
    if _is_text(tiles, name):
        return len(set(texts(tiles, name))) == 1
    parts = column(tiles, name)
    first = parts[0][:1]
    return all(part.shape[1:] == first.shape[1:] and bool((part == first).all()) for part in parts)
