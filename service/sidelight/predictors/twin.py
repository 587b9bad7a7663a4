"""The differentiable twin: the served model in this process, with gradients and with something else at its layers."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sidelight.core.ask import INPUT, TWIN, Activation, Ask, Forward, Gradient, Model
from sidelight.core.errors import InvalidRequest, ModelFailed, SidelightError, Unknown, Unsupported
from sidelight.core.evidence import read
from sidelight.core.predictor import Call, Endpoint, ModelSpec, Twin
from sidelight.core.sweep import Placement, Rows
from sidelight.core.target import NATURAL, outputs
from sidelight.predictors.batching import TILE_ROWS, Batching, column, lay, texts
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.embedded_call import Finished, UnderWay, Watcher, translate
from sidelight.predictors.exact import Form, Forms, Laid, Trial, filled_up
from sidelight.predictors.explanation import PROBES, probes
from sidelight.predictors.layers import captured, narrowed, replaced, undisturbed
from sidelight.predictors.listing import Listing, Samples, listed
from sidelight.predictors.networks import Network, picked
from sidelight.predictors.randomised import Copies
from sidelight.predictors.samples import LENGTHS, image_samples, text_samples, token_samples
from sidelight.predictors.serving import row_shape
from sidelight.predictors.tokenizing import Tokens, guarded, tokens_of
from sidelight.predictors.tuning import Tuned, best_batch, placed, tune
from sidelight.predictors.upstream import Upstream
from sidelight.predictors.vocabulary import vocabulary

_DEPTH = {"cpu": 1, "cuda": 2}
_TEXT_ROWS = {"cpu": 16, "cuda": 32}
_LONG_ROWS, _LONG = 8, 512  # of a batch where it would have more tokens than that: a CPU's cache has no room for them

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
        names = list(network.outputs or ())  # of outputs that come by place
        self._output = str(names.index(spec.output.name)) if spec.output.name in names else spec.output.name
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
        self._spec = replace(self._spec, vocabulary=self._vocabulary())
        self._listing = self._listed(layers)
        self.twin = self._described(network, tolerance)
        self._before = Upstream(self._run, self._listing, self._samples, alike=not self._image)
        self._copies = Copies(self._plain, self._listing)
        self._by_tokens = not (self._image or self._fixed or batch_rows) and self._device.type == "cpu"
        self._exact, self._forms = self._batching, Forms()  # for exact asks
        self._prove()
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
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise _no_twin(self._spec, f"in a trial on {self._device}: {error}") from error

    def _trial(self, rows: int, on: Placement) -> torch.Tensor:
        shape = tuple(LENGTHS[0] if size == -1 else size for size in row_shape(self._spec))
        x = torch.randn((self._fixed or rows, *shape), generator=torch.Generator().manual_seed(0))
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
            return token_samples(self._length, self._spec.vocabulary, self._fixed, self._ids_dtype, self._device)
        return text_samples()

    @property
    def _length(self) -> int:
        """Of token rows, where the model takes one length only; else -1."""
        return self._spec.input.shape[-1] if self._spec.modality == "tokens" and self._spec.input.shape else -1

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

    def _tokens(self, module: nn.Module) -> Tokens:
        if self._spec.modality != "text":
            return tokens_of(module, text=False)
        # Asked while the network runs, and what reads texts may not do for two at once: a copy, of all but the weights.
        shared = {id(t): t for t in (*module.parameters(), *module.buffers())}
        return guarded(tokens_of(copy.deepcopy(module, shared), text=True), self.name)

    def _vocabulary(self) -> int:
        if self._image or (self._spec.modality == "text" and not self._takes_ids()):
            return 0
        length = self._length if self._length > 0 else LENGTHS[0]
        with undisturbed(self._module):
            return vocabulary(self._run_of(self._module), self._fixed or 1, length, self._ids_dtype, self._device)

    def _prove(self) -> None:
        """Raises Unsupported where no gradient comes out: a forward under no_grad gives outputs all the same."""
        at = INPUT if self._image else self.twin.embedding
        if not at:
            return
        model, name = Model(self.name, self._spec.version, TWIN), self._spec.input.name
        x: Any = self.probes()[name] if self._image else self._samples().one
        rows: Rows = {name: x}
        seen = self._answered(Activation(model, (at,)), [rows])
        weights = torch.linspace(-1, 1, outputs(seen["y"], self._spec.kind).shape[1])  # unlike, or a softmax hides them
        rows = {**rows, f"a.{at}": seen[f"a.{at}"], "w": weights.expand(len(x), -1)}
        question = Gradient(model, (at,), NATURAL[self._spec.kind])
        g = self._answered(question, [rows])[f"g.{at}"].flatten(1)
        if not bool((g.isfinite().all(1) & g.any(1)).any()):
            why = "a forward under torch.no_grad(), detach() or rounding stops them"
            raise _no_twin(self._spec, f"its gradients are zero, or not finite, on all of {len(x)} probes: {why}")
        if not self._fixed:
            source = f"a.{INPUT}" if self._image else name
            laid, module = self._rows([rows], (at,), source, (), len(x), weighed=True), self._network(TWIN, (at,))
            with undisturbed(module):
                self._exact = Batching.upto(self._trial_of(question, module, ()).steady(laid, self._batching.buckets))

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
        tokens = Tokens() if self._image else self._tokens(module)
        note = "" if self._hooks else "TorchScript: its input only, since hooks on the layers of a script module raise"
        return Twin(
            layers,
            network.digest,
            tolerance,
            embedding=embedding,
            **vars(tokens),
            note=note,
        )

    # -- batches -----------------------------------------------------------------------------------------------------

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Call:
        if not isinstance(ask, Forward | Activation | Gradient):
            raise Unsupported("NO_EXECUTOR", ask.kind, f"a twin answers no {ask.kind} asks")
        self._check(ask.at)
        out = self._answered(ask, tiles)
        if self._watcher:
            return UnderWay(self.name, out, self._watcher, wake)
        return Finished(out, wake)

    def _check(self, at: Sequence[str]) -> None:
        known = [one.name for one in self._listing.layers]
        for name in at:
            if name != INPUT and name not in known:
                raise Unknown("layer", name, known)

    def _answered(self, ask: Forward | Activation | Gradient, tiles: Sequence[Rows]) -> dict[str, torch.Tensor]:
        module = self._network(ask.model.variant, ask.at)
        put = () if isinstance(ask, Activation) else ask.at
        source = f"a.{INPUT}" if INPUT in put else self._spec.input.name
        given = _is_text(tiles, source)
        total = len(texts(tiles, source)) if given else sum(map(len, column(tiles, source)))
        upstream = self._upstream(put, tiles, ask.exact)
        tokens = None if given else column(tiles, source)[0].shape[-1]
        batching = self._batching_of(put) if upstream else self._batching_for(ask.exact, tokens)
        chunks = batching.chunks(total)
        last, form = chunks[-1], Form(batching.padded(len(chunks[-1]), ask.exact))

        def laid(rows: int) -> Laid:
            return self._rows(tiles, put, source, upstream, rows, weighed=isinstance(ask, Gradient))

        trial = self._trial_of(ask, module, upstream)
        with undisturbed(module):
            if ask.exact and not given and not self._fixed:
                kind = (ask.kind, ask.at, getattr(ask, "link", None), upstream, _shapes(tiles))
                form = self._forms.of(kind, len(last), batching, lambda: laid(total), trial)
            rows, answers = laid(last.start + form.rows), []
            for chunk in chunks:
                as_it_is = form if chunk is last else Form(len(chunk))
                out = trial.run(rows.part(slice(chunk.start, chunk.start + as_it_is.rows)), as_it_is)
                answers.append({name: t[: len(chunk)] for name, t in out.items()})
        if len(answers) == 1:
            return answers[0]
        return {name: torch.cat([part[name] for part in answers]) for name in answers[0]}

    def _trial_of(self, ask: Forward | Activation | Gradient, module: nn.Module, upstream: tuple[str, ...]) -> Trial:
        repeated = self._listing.repeated if upstream else ()

        def run(rows: Laid, form: Form) -> dict[str, torch.Tensor]:
            with filled_up(module, form.filled), narrowed(module, upstream, repeated, form.rows):
                return self._pass(ask, module, rows)

        return Trial(module, run)

    def _pass(self, ask: Forward | Activation | Gradient, module: nn.Module, rows: Laid) -> dict[str, torch.Tensor]:
        """One batch. Raises MemoryError where the device is full, ModelFailed for any other failure."""
        try:
            if isinstance(ask, Gradient):
                return self._gradients(ask, module, rows)
            with torch.no_grad():
                if isinstance(ask, Activation):
                    return self._activations(ask, module, rows.x)
                inner = {name: value for name, value in rows.values.items() if name != INPUT}
                with replaced(module, inner):
                    y = self._run(module, rows.x.clone() if INPUT in rows.values else rows.x)  # type: ignore[union-attr]
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

    def _gradients(self, ask: Gradient, module: nn.Module, rows: Laid) -> dict[str, torch.Tensor]:
        """One backward pass of the sum of s over rows: rows know nothing of each other, so each gets its own."""
        assert rows.w is not None
        leaves = {name: value.detach().requires_grad_() for name, value in rows.values.items()}
        inner = {name: leaf for name, leaf in leaves.items() if name != INPUT}
        with torch.enable_grad():
            with replaced(module, inner):
                y = self._run(module, leaves[INPUT].clone() if INPUT in leaves else rows.x)
            s = read(outputs(y, self._spec.kind), self._spec.kind, ask.link, rows.w)
            grads: Sequence[torch.Tensor]
            if s.requires_grad:
                grads = torch.autograd.grad(s.sum(), list(leaves.values()), materialize_grads=True)
            else:  # what is substituted does not reach the output
                grads = [torch.zeros_like(leaf) for leaf in leaves.values()]
        found = {f"g.{name}": g for name, g in zip(leaves, grads, strict=True)}
        return {"y": y.detach().flatten(1).float(), "s": s.detach(), **found}

    def _run(self, module: nn.Module, x: Batch) -> torch.Tensor:
        """[n, ...]: the served model's output among what the network returned."""
        returned, name = module(x), self._output
        try:
            y = picked(returned, name)
        except KeyError as missing:
            raise ModelFailed(self.name, f"its twin returns {missing.args[0]}, and no {name}") from None
        if len(y) != len(x):
            raise ModelFailed(self.name, f"its twin answers {len(x)} rows with the shape {list(y.shape)}")
        return y

    def _run_of(self, module: nn.Module) -> Callable[[Any], torch.Tensor]:
        return lambda x: self._run(module, x)

    # -- laying rows -------------------------------------------------------------------------------------------------

    def _rows(
        self,
        tiles: Sequence[Rows],
        put: tuple[str, ...],
        source: str,
        upstream: tuple[str, ...],
        rows: int,
        weighed: bool,
    ) -> Laid:
        """The tiles' rows, filled up to so many."""
        values = {name: self._laid(column(tiles, f"a.{name}"), rows) for name in put}
        w = self._weights(tiles, rows) if weighed else None
        if INPUT in put:
            return Laid(values[INPUT], values, w)
        if _is_text(tiles, source):
            given = texts(tiles, source)
            return Laid(given + given[-1:] * (rows - len(given)), values, w)
        if upstream:  # what stands there does not matter
            first = self._laid([column(tiles, source)[0][:1]], 1)
            return Laid(first.expand(rows, *first.shape[1:]), values, w)
        return Laid(self._laid(column(tiles, source), rows), values, w)

    def _laid(self, parts: Sequence[torch.Tensor], rows: int) -> torch.Tensor:
        """The rows as the network takes them, filled up to `rows` with the last."""
        whole = not parts[0].is_floating_point() and not self._image
        return lay(parts, rows, self.placement, self._ids_dtype if whole else self.placement.dtype)

    def _weights(self, tiles: Sequence[Rows], rows: int) -> torch.Tensor:
        return lay(column(tiles, "w"), rows, self.placement, torch.float64)

    # -- one row before a cut ----------------------------------------------------------------------------------------

    def _upstream(self, put: tuple[str, ...], tiles: Sequence[Rows], exact: bool) -> tuple[str, ...]:
        """Submodules that may run on one row, since what `put` replaces is all that the output gets of them."""
        if not put or INPUT in put or self._fixed:
            return ()
        if not self._image and (exact or not _alike(tiles, self._spec.input.name)):
            return ()  # a text's mask passes its layers by; and neighbours must not decide what an exact ask runs
        return self._before.of(self._network(TWIN, put), put)

    def _batching_for(self, exact: bool, tokens: int | None) -> Batching:
        """Batches of rows with so many tokens; None: nobody knows. Of images they are the same for all."""
        batching = self._exact if exact else self._batching
        long = self._by_tokens and (tokens is None or batching.rows * tokens > _LONG)
        return batching.at_most(_LONG_ROWS) if long else batching

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
        self._copies.tidy()
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


def _no_twin(spec: ModelSpec, why: str) -> Unsupported:
    return Unsupported("NO_TWIN", spec.name, f"model {spec.name} has no differentiable twin: {why}")


def _shapes(tiles: Sequence[Rows]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Of a row, column by column."""
    return tuple((name, tuple(c.shape[1:])) for name, c in tiles[0].items() if isinstance(c, torch.Tensor))


def _is_text(tiles: Sequence[Rows], name: str) -> bool:
    return bool(tiles) and name in tiles[0] and not isinstance(tiles[0][name], torch.Tensor)


def _alike(tiles: Sequence[Rows], name: str) -> bool:
    """Whether all rows of an input column are the same."""
    if _is_text(tiles, name):
        return len(set(texts(tiles, name))) == 1
    parts = column(tiles, name)
    first = parts[0][:1]
    return all(part.shape[1:] == first.shape[1:] and bool((part == first).all()) for part in parts)
