"""The study's classifiers behind one engine, and interventions on a lesion that all of them are asked about at once."""

import hashlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import intervention_domain as domain
import lesions
import numpy as np
import sidelight.editors
import sidelight.methods
import torch
from intervention_domain import CLASSES
from intervention_training import MEAN, SCALE, SD, Recipe, Weights, network_of
from laboratory import Room, opened
from lesions import Lesion
from sidelight.core import editor as kinds
from sidelight.core import registry
from sidelight.core.ask import Model
from sidelight.core.baseline import ModelMean
from sidelight.core.editor import Canvas, Captured, Editor
from sidelight.core.effect import Interventions, Response
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.sequence import Sequence as Edits
from sidelight.core.stream import Stream
from sidelight.core.sweep import Plan, together
from sidelight.core.target import Link, OutputKind, Target
from sidelight.editors.changes import Change
from sidelight.editors.executor import EditorExecutor
from sidelight.editors.parametric import ParametricParams
from sidelight.editors.store import FrameStore
from sidelight.methods.interventional import InterventionalParams
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.networks import Network, weights_digest
from sidelight.predictors.twin import own_twin

registry.load(sidelight.methods)
registry.load(sidelight.editors)

SEED = 1
ROWS = 64  # of a batch
PARAMS = InterventionalParams(permutations=2000, frames=0)  # Holm over the properties, level .01
STORE = 1 << 26  # bytes of frames
CPU = torch.device("cpu")
DIFFUSION = "instruct_pix2pix"
GUIDANCE = (0.0, 10.0)  # its strengths' ends
STEPS = 20


@dataclass(frozen=True)
class Classifier:
    """A trained network after so many epochs."""

    recipe: Recipe
    epoch: int

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-{self.epoch}"

    @property
    def key(self) -> dict[str, Any]:
        """What a table says of it."""
        r = self.recipe
        return {
            "trained_on": r.lesions, "epochs": r.epochs, "scenario": r.scenario, "architecture": r.architecture,
            "seed": r.seed, "epoch": self.epoch,
        }  # fmt: skip


class Clinic(Room):
    """An engine with the classifiers; of those in `twins` gradients can be taken. A context manager."""

    def __init__(self, networks: dict[Classifier, Weights], twins: Sequence[Classifier] = ()) -> None:
        predictors = {one: _predictor(one, weights) for one, weights in networks.items()}
        first, *others = predictors.values()
        super().__init__(first)
        self._specs = {one: made.spec() for one, made in predictors.items()}
        self._twins = {}
        self.store = FrameStore(STORE)
        for made in others:
            self.engine.add(made)
        for one in twins:
            found = own_twin(predictors[one], self._specs[one], batch_rows=ROWS)
            self._twins[one] = found.twin
            self.engine.add(found, twin=True)
        self.editors = {name: kinds.find(name).make(CPU) for name in ("parametric", "captured")}
        self.engine.add_editor(EditorExecutor(self.editors["parametric"]))

    def __enter__(self) -> Self:
        # The process for permutations starts while Ctrl-C is ignored, and so ignores it: it ends with the engine.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.engine.warm()
        finally:
            signal.signal(signal.SIGINT, before)
        return self

    def join(self, editor: Editor) -> None:
        """Have another editor."""
        self.editors[editor.name] = editor
        self.engine.add_editor(EditorExecutor(editor))

    def job(self, one: Classifier, pixels: torch.Tensor, edits: tuple[Edits, ...] = ()) -> Job:
        """What the classifier makes of a picture [3, H, W] uint8; `opened` gives the job its target."""
        spec, x = self._specs[one], pixels.float()
        given = ImageInput(spec.input.name, x, ModelMean().image(x, spec.pixels, Stream(SEED)), spec.pixels)
        target = Target(spec.kind, Link.PROBABILITY)
        return Job(
            Model(spec.name, spec.version), given, target, Stream(SEED), twin=self._twins.get(one), sequences=edits
        )

    # -- series of edits -----------------------------------------------------------------------------------------------

    def drawn(self, lesion: Lesion, name: str, count: int) -> Edits:
        """The generator's own pictures of one property: the truth."""
        strengths, frames = domain.series(lesion, name, count)
        canvas = Canvas(frames[0], _digest(frames), Captured(tuple(frames), tuple(strengths)))
        return self._edits("captured", None, name, canvas, strengths)

    def laid(self, lesion: Lesion, name: str, count: int) -> Edits:
        """The sticker, or the ruler's marks, laid over the picture at an opacity."""
        if name == "patch":
            opacity, fill = lesions.sticker(lesion), tuple(map(float, lesions.PATCHES[lesion.patch_colour]))
        else:
            opacity, fill = 0.9 * lesions.marks(), tuple(lesions.INK.tolist())
        mask = torch.from_numpy(np.rint(255 * opacity).astype(np.uint8))[None]
        params = ParametricParams(Change.OVERLAY, mask=mask, fill=fill)
        return self._edits("parametric", params, name, _canvas(lesion), np.linspace(0, 1, count).tolist())

    def instructed(self, lesion: Lesion, name: str, count: int) -> Edits:
        """What a diffusion model makes of the instruction, at rising guidance."""
        params: Any = kinds.find(DIFFUSION).params
        words = lesions.instruction(lesion, name, domain.far_end(lesion, name) == 1)
        strengths = np.linspace(*GUIDANCE, count).tolist()
        return self._edits(DIFFUSION, params(prompt=words, steps=STEPS), name, _canvas(lesion), strengths)

    def _edits(self, by: str, params: Any, name: str, canvas: Canvas, strengths: Sequence[float]) -> Edits:
        editor = self.editors[by]
        prepared = editor.prepare(params, canvas, Stream(SEED))
        unit = editor.scale(params, canvas).unit
        return Edits(name, by, unit, tuple(strengths), prepared, self.store, original=canvas.pixels)


def diffusion_editor(folder: Path) -> Editor | str:
    """The editor with the pipeline in the folder, or why there is none."""
    if why := registry.absent("editors").get(DIFFUSION):
        return f"the editor {DIFFUSION} {why}"
    if not (folder / "unet").is_dir():
        return f"there is no pipeline in {folder}"
    return kinds.find(DIFFUSION).make(name=DIFFUSION, model=str(folder), device="cpu")


def responses(
    clinic: Clinic, classifiers: Sequence[Classifier], pixels: torch.Tensor, edits: Sequence[Edits]
) -> Plan[list[tuple[int, tuple[Response, ...]]]]:
    """Each classifier's class of the picture, and what the properties did to it: edits are made once for all."""

    def one(classifier: Classifier) -> Plan[tuple[int, tuple[Response, ...]]]:
        (job,), _ = yield from opened(clinic.job(classifier, pixels, tuple(edits)), Link.PROBABILITY)
        found: Interventions = yield from registry.find("interventional").plan(job, PARAMS)
        return job.target.classes[0], found.responses

    return list((yield from together(*(one(classifier) for classifier in classifiers))))


def _predictor(one: Classifier, weights: Weights) -> EmbeddedPredictor:
    network = network_of(one.recipe.architecture, weights)
    card = Card(
        one.name, kind="image", crop=(lesions.SIZE, lesions.SIZE), layout="NCHW", order="RGB", scale=SCALE,
        mean=(MEAN,), std=(SD,), output_kind=OutputKind.LOGITS, labels=CLASSES,
    )  # fmt: skip
    made = Network(network, "python", weights_digest(network), network)
    return EmbeddedPredictor(made, card, channels_last=True, batch_rows=ROWS)


def _canvas(lesion: Lesion) -> Canvas:
    (pixels,) = domain.pictures([lesion])
    return Canvas(pixels, _digest(pixels))


def _digest(pixels: torch.Tensor) -> str:
    return hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()
