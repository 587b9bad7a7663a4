"""How much of its target each attribution leaves out: |E|/|T| by method, layer and baseline, on real photos.

    python deploy/studies baselines                      # `make study-baselines`: minutes
    python deploy/studies baselines --data FOLDER        # `make study-baselines DATA=FOLDER`: one's own photos

After Cui & Fan, "The Neglected Baseline in Model Interpretation", arXiv 2605.22417: T = g(z) - g(b) is what there is to
attribute, R = sum of A what was attributed, E = R - T. Rows go to a CSV file as they are found; the same command goes
on where it was stopped.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import attribution_errors
from attribution_errors import IMPLIED, INPUT, NO_TARGET
from laboratory import Laboratory, opened
from photos import Photo
from progress import Line
from running import chosen_photos, main_of
from sidelight.core.baseline import (
    Baseline,
    Blur,
    FeatureBaseline,
    FeatureMean,
    FeatureZero,
    ImageMean,
    ModelMean,
    Neutral,
    Noise,
)
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Account, Job, Saliency
from sidelight.core.sweep import Plan
from sidelight.core.target import Link
from sidelight.path.options import Attribution, Options
from sidelight.path.plan import attribute
from table import Table

PIXELS, PHOTOS = 128, 8
SEED = 1
NODES = 50  # of Integrated Gradients, and random ones of expected gradients
LAYERS = (INPUT, "_blocks.2", "_blocks.10", "_blocks.15")  # block outputs: early, middle, the last

PIXEL: dict[str, Baseline] = {"model_mean": ModelMean(), "image_mean": ImageMean(), "blur": Blur(), "noise": Noise()}
AT_LAYER: dict[str, FeatureBaseline] = {
    "feature_zero": FeatureZero(), "feature_mean": FeatureMean(), "neutral": Neutral()
}  # fmt: skip
DISTRIBUTION = ("model_mean", "blur", "noise")
BASELINES = (*PIXEL, "distribution", *AT_LAYER)
AT_INPUT = (*PIXEL, "distribution", "neutral")  # zero there is the model's mean, the mean feature the image's
SHOWN = "relu"  # the display step that drops what speaks against the class

KEY = ("photo", "pixels", "precision", "nodes", "layer", "baseline", "method")
VALUES = (
    "photograph", "class", "refused", "output", "baseline_output", "target", "result", "error", "shown", "parts",
    "evaluations",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Part:
    """What is asked at once: the methods of one photo, layer and baseline, on evaluations that they share."""

    photo: Photo
    layer: str
    baseline: str

    @property
    def methods(self) -> tuple[Attribution, ...]:
        """Those with a baseline of the caller's; beside b = 0 those that imply it too."""
        zero = self.baseline == ("model_mean" if self.layer == INPUT else "feature_zero")
        implied = IMPLIED[:1] if self.layer == INPUT else IMPLIED  # what pools or clips channels is for layers
        absent = {NO_TARGET, *IMPLIED} - ({*implied} if zero else set())
        return tuple(one for one in Attribution if one.value not in absent)

    @property
    def keys(self) -> list[Row]:
        """Which rows it has in the table."""
        return [
            {"nodes": NODES, "layer": self.layer, "baseline": self.baseline, "method": one.value}
            for one in self.methods
        ]

    @property
    def evaluations(self) -> int:
        """About how many rows it takes."""
        several = len(DISTRIBUTION) if self.baseline == "distribution" else 1
        return several * (NODES + 6) + NODES


def parts_of(photos: Sequence[Photo], layers: Sequence[str], baselines: Sequence[str]) -> list[Part]:
    """Everything that is asked."""
    return [
        Part(photo, layer, baseline)
        for photo in photos
        for layer in layers
        for baseline in baselines
        if layer != INPUT or baseline in AT_INPUT
    ]


def over(job: Job, baseline: str) -> Job:
    """The job over another baseline."""
    if baseline in AT_LAYER:
        return replace(job, at_layer=AT_LAYER[baseline])
    names = DISTRIBUTION if baseline == "distribution" else (baseline,)
    x = job.input
    if not isinstance(x, ImageInput):
        raise TypeError("baselines of pixels are for images")
    first, *others = (replace(x, baseline=PIXEL[name].image(x.pixels, x.space, job.stream)) for name in names)
    return replace(job, input=first, others=tuple(others))


def explained(job: Job, part: Part, labels: Sequence[str]) -> Plan[list[Row]]:
    """The rows of the table for one part, in the order of its keys."""
    (job,), _ = yield from opened(over(job, part.baseline), Link.LOGIT)
    about = {"photograph": part.photo.photograph, "class": labels[job.target.classes[0]]}
    layers = () if part.layer == INPUT else (part.layer,)
    options = Options("study", part.methods, layers, nodes=NODES, draws=NODES)
    try:
        found: Saliency = yield from attribute(job, options)
    except (InvalidRequest, Unsupported) as error:  # a baseline that is not to be had here: it is part of the answer
        nothing = dict.fromkeys(VALUES, "") | about | {"refused": str(error)}
        return [key | nothing for key in part.keys]
    return [key | about | _told(account) for key, account in zip(part.keys, found.accounts[0], strict=True)]


def _told(account: Account) -> Row:
    shown = next((step.result for step in account.steps if step.name == SHOWN), account.result)
    return {
        "refused": "",
        "output": account.output,
        "baseline_output": account.baseline_output,
        "target": account.target,
        "result": account.result,
        "error": account.error,
        "shown": shown,
        "parts": " ".join(f"{name}:{value:.6g}" for name, value in account.parts.items()),
        "evaluations": account.evaluations,
    }


def measure(lab: Laboratory, wanted: Sequence[Part], table: Table) -> float:
    """Fill the table with what it lacks; the seconds that took."""
    left = [p for p in wanted if not all(lab.named(p.photo.name) | key in table for key in p.keys)]
    line = Line(sum(part.evaluations for part in left))
    plans = ((p, explained(lab.job(p.photo.image, SEED), p, lab.spec.labels)) for p in left)
    for part, rows in lab.results(plans, line):
        table.append(row for row in (lab.named(part.photo.name) | row for row in rows) if row not in table)
    return line.close()


def run(args: argparse.Namespace) -> None:
    """Measure, then say what was found."""
    import plot  # here, since the rest of a study needs no matplotlib

    table = Table(args.out / "baselines.csv", KEY, VALUES)
    pixels = args.pixels or PIXELS
    photos = chosen_photos(args.data, pixels, args.photos)
    parts = parts_of(photos, args.layers, args.baselines)
    # Gradients are taken in single precision; so are the outputs that they are to add up to.
    with Laboratory(pixels, "float32", args.device, twin=True) as lab:
        print(f"{len(photos)} photos x {len(parts) // len(photos)} layers and baselines; rows in {table.path}")
        seconds = measure(lab, parts, table)
        rows = [table.get(lab.named(part.photo.name) | key) for part in parts for key in part.keys]
    found = attribution_errors.of([row for row in rows if row])
    print(f"\nMeasured in {seconds / 60:.1f} minutes.\n\n{found.text}\n")
    print(f"Plot: {plot.baselines(found, args.out / 'baselines.png')}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="studies baselines", description="Judge attributions by what they leave out.")
    parser.add_argument("--layers", nargs="+", default=LAYERS, help="these only (%(default)s)")
    parser.add_argument("--baselines", nargs="+", default=BASELINES, choices=BASELINES, help="these only")
    return main_of(parser, run, PHOTOS)
