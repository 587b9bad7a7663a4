"""Keeps the roster true: probes each model before it is offered, follows new versions, notices who is away or back."""

import asyncio
import logging
import time
from collections.abc import Callable

import torch

from sidelight.core.ask import Model
from sidelight.core.baseline import ModelMean
from sidelight.core.errors import SidelightError, Unavailable
from sidelight.core.inputs import ImageInput, Input, TextInput, TokenInput, words
from sidelight.core.predictor import ModelSpec, Predictor, Probe
from sidelight.core.stream import Stream
from sidelight.engine.engine import Engine
from sidelight.engine.mailbox import Mailbox
from sidelight.engine.observer import Label
from sidelight.engine.probe import probe
from sidelight.engine.threads import briefly
from sidelight.rpc.roster import Offer, Roster

log = logging.getLogger(__name__)

SLOWEST = 30.0  # seconds between tries at most, for a model that is away
PROBE_SECONDS = 300.0  # a cold model may compile first
ANY_SIZE = (224, 224)  # of the probe's image, for a model that takes any
ANY_LENGTH = 16  # of the probe's tokens, for a model that takes any
SENTENCE = "The quick brown fox jumps over the lazy dog, and then it sleeps."


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
    ) -> None:
        """`every`: seconds between looks. `joined` is told when the engine has the predictor."""
        self._name, self._make, self._engine, self._roster, self._every = name, make, engine, roster, every
        self._joined = joined
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
        """Close a predictor that the engine does not have, and so does not close."""
        if self._predictor is not None and not self._added:
            self._predictor.close()

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
        if spec != self._probed or self._away:
            if self._away or self._probed is None or self._probed.version not in versions:
                self._roster.note(self._name, ready=False, reason=f"version {spec.version} is being probed")
            await self._probe(self._predictor, spec)
        self._roster.note(self._name, ready=True, reason="", versions=versions)

    async def _probe(self, predictor: Predictor, spec: ModelSpec) -> None:
        if not self._added:
            self._engine.add(predictor)
            self._added = True
            self._joined(predictor)
        mailbox = Mailbox(asyncio.get_running_loop())
        began = time.monotonic()
        run = self._engine.run(
            probe(Model(spec.name, spec.version), sample(spec), spec.kind, predictor.batch_rows),
            mailbox,
            label=Label("probe", spec.name, predictor.endpoint.executor),
            deadline=began + PROBE_SECONDS,
        )
        try:
            measured: Probe = await mailbox.result()
        finally:
            run.kill(Unavailable("the probe was given up"))
        self._probed = spec
        self._roster.note(self._name, offer=Offer(predictor, spec, measured))
        seconds = round(time.monotonic() - began, 3)
        about = {"model": spec.name, "version": spec.version, "probe_seconds": seconds}
        log.info("model %s version %s is ready", spec.name, spec.version, extra=about)


def sample(spec: ModelSpec) -> Input:
    """Something that the model takes: noise with grey, a sentence, or small token ids."""
    if spec.modality == "text":
        return TextInput(spec.input.name, SENTENCE, words(SENTENCE))
    if spec.modality == "tokens":
        length = spec.input.shape[-1] if spec.input.shape and spec.input.shape[-1] > 0 else ANY_LENGTH
        return TokenInput(spec.input.name, torch.arange(length, dtype=torch.int64) % 100)
    shape = (len(spec.pixels.order), *(spec.fit.size or ANY_SIZE))
    stream = Stream(0, "sample")
    pixels = torch.from_numpy(stream.uniform(range(shape[0] * shape[1]), shape[2]) * 255).float().view(shape)
    return ImageInput(spec.input.name, pixels, ModelMean().image(pixels, spec.pixels, stream), spec.pixels)
