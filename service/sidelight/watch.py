"""Keeps the roster true: probes each model before it is offered, follows new versions, notices who is away or back."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from sidelight.core.agreement import disagrees, on_probes
from sidelight.core.ask import Model
from sidelight.core.baseline import ModelMean
from sidelight.core.errors import SidelightError, Unavailable, Unsupported
from sidelight.core.inputs import ImageInput, Input, TextInput, TokenInput, words
from sidelight.core.predictor import Differentiable, ModelSpec, Predictor, Probe, Twin
from sidelight.core.stream import Stream
from sidelight.core.sweep import Plan
from sidelight.engine.engine import Engine
from sidelight.engine.mailbox import Mailbox
from sidelight.engine.observer import Label
from sidelight.engine.probe import probe
from sidelight.engine.threads import briefly
from sidelight.rpc.roster import Offer, Roster

log = logging.getLogger(__name__)

SLOWEST = 30.0  # seconds between tries at most, for a model that is away
TWIN_AGAIN, TWIN_SLOWEST = 10.0, 600.0  # seconds until a twin that there was no room for is tried again; and at most
PROBE_SECONDS = 300.0  # a cold model may compile first
ANY_SIZE = (224, 224)  # of the probe's image, for a model that takes any
ANY_LENGTH = 16  # of the probe's tokens, for a model that takes any
IDS = 100  # of the probe's tokens, where the vocabulary is not known
SENTENCE = "The quick brown fox jumps over the lazy dog, and then it sleeps."


NO_SOURCE = "none is configured: a table [models.twin] names where its network comes from"


@dataclass(frozen=True)
class TwinSource:
    """How to make a model's twin, once its predictor is there and its specification known.

    Raises Unsupported, and another SidelightError where it is worth trying again.
    """

    make: Callable[[Predictor, ModelSpec], Differentiable]
    rows: bool = False  # whether it then takes the rows that need no gradient


class Watch:
    """Follows one model. `make` makes its predictor; what it raises as SidelightError is tried again."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Predictor],
        engine: Engine,
        roster: Roster,
        every: float,
        joined: Callable[[Predictor], None] = lambda predictor: None,
        twin: TwinSource | None = None,
        gap: Callable[[str, float], None] = lambda model, gap: None,
    ) -> None:
        """`every`: seconds between looks. `joined` is told when the engine has a predictor, `gap` what a twin's is."""
        self._name, self._make, self._engine, self._roster, self._every = name, make, engine, roster, every
        self._joined, self._source, self._tell_gap = joined, twin, gap
        self._twin: Differentiable | None = None
        self._twin_of: ModelSpec | None = None  # that the twin was made for, or could not be
        self._unmade = NO_SOURCE  # why none was made for that; empty where one was
        self._twin_reason = NO_SOURCE  # why none is offered
        self._again: float | None = None  # when to try again, on the monotonic clock
        self._pause = TWIN_AGAIN
        self._twin_added = False
        self._predictor: Predictor | None = None
        self._added = False
        self._probed: ModelSpec | None = None
        self._away = False  # and told so
        roster.note(name)

    async def follow(self) -> None:
        """Until cancelled."""
        pause = self._every
        while True:
            try:
                await self._look()
                pause, self._away = self._every, False
            except SidelightError as error:
                self._roster.note(self._name, ready=False, reason=str(error))
                if not self._away:
                    log.warning("model %s is away: %s", self._name, error, extra={"model": self._name})
                self._away = True
                pause = min(pause * 1.5, SLOWEST)
            await asyncio.sleep(pause)

    def close(self) -> None:
        """Close predictors that the engine does not have, and so does not close."""
        if self._predictor is not None and not self._added:
            self._predictor.close()
        if self._twin is not None and not self._twin_added:
            self._twin.close()

    async def _look(self) -> None:
        """One look at the model; it is offered when this returns."""
        if self._predictor is None:
            self._predictor = await briefly(self._make)
            self._roster.note(self._name, predictor=self._predictor)
        versions = await asyncio.to_thread(self._predictor.versions)
        if not versions:
            raise Unavailable(f"no version of model {self._name} is loaded")
        spec = await asyncio.to_thread(self._predictor.spec, versions[-1])
        # What comes back after it was away may be another model under the same version.
        if spec != self._probed or self._away or (self._again and time.monotonic() >= self._again):
            if self._away or self._probed is None or self._probed.version not in versions:
                self._roster.note(self._name, ready=False, reason=f"version {spec.version} is being probed")
            # Before any row runs: the twin may share its module with the predictor, and puts hooks on it.
            await self._make_twin(self._predictor, spec)
            await self._probe(self._predictor, spec)
        self._roster.note(self._name, ready=True, reason="", versions=versions)

    async def _probe(self, predictor: Predictor, spec: ModelSpec) -> None:
        if not self._added:
            self._engine.add(predictor)
            self._added = True
            self._joined(predictor)
        began = time.monotonic()
        model = Model(spec.name, spec.version)
        measured: Probe = await self._run(probe(model, sample(spec), spec.kind, predictor.batch_rows), predictor)
        twin = await self._verified(predictor, model)
        self._probed = spec
        rows = twin is not None and self._source is not None and self._source.rows
        if self._twin is not None and twin is not None:  # it may know what the endpoint does not tell
            spec = replace(spec, vocabulary=self._twin.spec().vocabulary or spec.vocabulary)
        offer = Offer(predictor, spec, measured, twin, "" if twin else self._twin_reason, self._twin, rows)
        self._roster.note(self._name, offer=offer)
        seconds = round(time.monotonic() - began, 3)
        about = {"model": spec.name, "version": spec.version, "probe_seconds": seconds}
        log.info("model %s version %s is ready", spec.name, spec.version, extra=about)

    async def _run(self, plan: Plan, predictor: Predictor) -> Any:
        """The result of a plan that asks `predictor`, its twin or both."""
        mailbox = Mailbox(asyncio.get_running_loop())
        run = self._engine.run(
            plan,
            mailbox,
            label=Label("probe", self._name, predictor.endpoint.executor),
            deadline=time.monotonic() + PROBE_SECONDS,
        )
        try:
            return await mailbox.result()
        finally:
            run.kill(Unavailable("the probe was given up"))

    async def _make_twin(self, predictor: Predictor, spec: ModelSpec) -> None:
        """Make the twin, where there is a source and the model's input is another than the last one was made for."""
        if self._source is None or (self._twin_of is not None and _interface(spec) == _interface(self._twin_of)):
            return
        try:
            made = await briefly(partial(self._source.make, predictor, spec))
        except SidelightError as error:
            self._unmade = str(error)
            self._refuse("no twin of model %s: %s", error)
            self._twin_of = None if self._again else spec
            return
        former, self._twin, self._twin_of, self._unmade = self._twin, made, spec, ""
        if self._added:
            self._add_twin(made)
        if former is not None:  # in whose place the engine has another by now
            await asyncio.to_thread(former.close)

    def _add_twin(self, twin: Differentiable) -> None:
        self._engine.add(twin, twin=True)
        self._twin_added = True
        self._joined(twin)

    async def _verified(self, predictor: Predictor, model: Model) -> Twin | None:
        """The twin with its gap, where it agrees with the served model on the probes."""
        if self._twin is None or self._unmade:
            return None
        if not self._twin_added:
            self._add_twin(self._twin)
        try:
            found = await self._run(on_probes(model, self._twin.probes(), self._twin.twin.tolerance), predictor)
            if not found.near:
                raise disagrees(model, found, f"{found.rows} probes")
        except SidelightError as error:
            self._refuse("the twin of model %s is refused: %s", error)
            return None
        self._again, self._pause = None, TWIN_AGAIN
        self._tell_gap(self._name, found.largest)
        return replace(self._twin.twin, gap=found.largest)

    def _refuse(self, message: str, error: SidelightError) -> None:
        """Say why there is no twin for now; where only circumstances are against it, it is tried again."""
        self._twin_reason, self._again = str(error), None
        if not isinstance(error, Unsupported):
            self._again = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, TWIN_SLOWEST)
        log.warning(message, self._name, error, extra={"model": self._name})


def _interface(spec: ModelSpec) -> tuple:
    """What a twin depends on."""
    return spec.modality, spec.input, spec.output, spec.kind, spec.pixels, spec.fit


def sample(spec: ModelSpec) -> Input:
    """Something that the model takes: noise with grey, a sentence, or small token ids."""
    if spec.modality == "text":
        return TextInput(spec.input.name, SENTENCE, words(SENTENCE))
    if spec.modality == "tokens":
        length = spec.input.shape[-1] if spec.input.shape and spec.input.shape[-1] > 0 else ANY_LENGTH
        return TokenInput(spec.input.name, torch.arange(length, dtype=torch.int64) % (spec.vocabulary or IDS))
    shape = (len(spec.pixels.order), *(spec.fit.size or ANY_SIZE))
    stream = Stream(0, "sample")
    pixels = torch.from_numpy(stream.uniform(range(shape[0] * shape[1]), shape[2]) * 255).float().view(shape)
    return ImageInput(spec.input.name, pixels, ModelMean().image(pixels, spec.pixels, stream), spec.pixels)
