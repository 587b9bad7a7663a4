"""What every attribution of a request stands on: the features of the input and of its baselines, at layers that cut."""

from dataclasses import dataclass

import torch

from sidelight.core.ask import INPUT
from sidelight.core.baseline import FeatureMean, FeatureZero, Neutral
from sidelight.core.inputs import Input
from sidelight.core.job import Job
from sidelight.core.sweep import Meter, Plan, metered
from sidelight.path.attributions import READINGS, Source
from sidelight.path.baselines import feature_baseline
from sidelight.path.cuts import cut
from sidelight.path.layers import resolve, see, twin_of
from sidelight.path.line import Features
from sidelight.path.options import Options
from sidelight.path.positions import Grids, grids
from sidelight.path.tokens import PairedTokens

AT_LAYER = {
    FeatureZero: "b = 0",
    FeatureMean: "b the mean of each channel",
    Neutral: "b where the output says nothing, searched for from the mean feature",
}
PASSING = "; no cut: what passes by keeps the input's values"
NO_INPUT = ", and no input has these features, to compare with"


@dataclass(frozen=True, eq=False)
class Scene:
    """M baselines against one input."""

    z: Features
    b: tuple[Features, ...]  # M; z itself where no attribution is over a baseline of the request
    place: str  # "at layer4", or "" for the input
    besides: str  # what is to be said of layers that are no cut
    baseline: str  # in words
    whole: bool  # whether the layers are a cut
    past: torch.Tensor | None  # [M, T] f(x') of the M baselines, where a layer's are induced
    grids: Grids
    rows: int  # evaluations that z took, and whether the layers are a cut
    baseline_rows: int  # and b

    def evaluations(self, source: Source) -> int:
        """Those that an attribution over this kind of baseline stands on."""
        return self.rows + (self.baseline_rows if source is Source.REQUEST else 0)


def enter(job: Job, options: Options) -> Plan[Scene]:
    """Find the layers, the features there, and whether they are a cut. Raises what will not do."""
    twin, layers = twin_of(job), resolve(job, options)
    over_its = any(READINGS[kind].source is Source.REQUEST for kind in options.attributions)
    inputs: dict[str, tuple[Input, bool]] = {"x": (job.input, False)}
    if over_its and job.at_layer is None:
        inputs |= {f"b{m}": (x, True) for m, x in enumerate((job.input, *job.others))}
    seen = yield from see(job, layers, inputs)
    z = seen.pop("x").features
    where = grids(job.input, {layer: tuple(a.shape) for layer, a in z.items()}, twin, options.field("layers"))
    whole, rows = yield from cut(job, z, options)
    rows, baseline_rows = (rows, 0) if layers == (INPUT,) else (rows + 1, len(seen))
    b: tuple[Features, ...] = (z,)
    past = None
    if seen:
        b = tuple(s.features for s in seen.values())
        if all(s.y is not None for s in seen.values()):
            past = torch.cat([job.target.score(s.y) for s in seen.values() if s.y is not None])
    elif over_its:
        b = ((yield from metered(feature_baseline(job, where, z), spent := Meter())),)
        baseline_rows = spent.rows.total()
    place = "" if layers == (INPUT,) else f"at {', '.join(layers)}"
    words = _words(job, place, len(b))
    if not whole and past is None:
        words += NO_INPUT
    return Scene(z, b, place, "" if whole else PASSING, words, whole, past, where, rows, baseline_rows)


def _words(job: Job, place: str, count: int) -> str:
    if job.at_layer is not None:
        return f"{AT_LAYER[type(job.at_layer)]} {place}".rstrip()
    if isinstance(job.input, PairedTokens) and count == 1:
        return f"b = h(x') {place}, x' with {job.input.words}"
    one = f"b = h(x') {place}, x' the baseline of the request" if place else "b = x', the baseline of the request"
    return one if count == 1 else f"the mean over {count} baselines, {one}"
