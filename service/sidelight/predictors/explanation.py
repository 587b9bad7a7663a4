"""An explanation endpoint: a second Triton, or another name on the same one, that takes the rows of explanations.

It keeps their load off production. That it answers the same is a claim, so it is verified, version by version.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from sidelight.core.agreement import Gap, gap
from sidelight.core.ask import Ask, Forward, Model
from sidelight.core.errors import Unavailable, Unknown, Unsupported
from sidelight.core.inputs import encode
from sidelight.core.predictor import Call, Endpoint, ModelSpec, Predictor
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Rows
from sidelight.predictors.serving import row_shape
from sidelight.predictors.triton import TritonPredictor

PROBES = 8
_TEXTS = ("", "a", "the cat sat on the mat", "not bad at all!", "1 2 3", "Ünïcödé", "word " * 20, "END.")
_TOKENS = 16  # length of a probe
_IDS = 100  # of a vocabulary that is not known: small ones


def probes(spec: ModelSpec) -> Rows:
    """Rows that any model of this input takes: noise, smooth patterns and flat colours; texts; token ids."""
    stream = Stream(0, "probes")
    if spec.modality == "text":
        return {spec.input.name: list(_TEXTS)}
    if spec.modality == "tokens":
        length = spec.input.shape[0] if spec.input.shape[0] > 0 else _TOKENS
        return {spec.input.name: torch.from_numpy(stream.integers(range(PROBES), length, spec.vocabulary or _IDS))}
    shape = row_shape(spec)
    channels, height, width = shape if spec.pixels.layout == "NCHW" else (shape[2], *shape[:2])
    noise = torch.from_numpy(stream.uniform(range(PROBES), channels * height * width)).float()
    pixels = noise.view(PROBES, channels, height, width) * 255
    y, x = torch.linspace(0, 6, height).view(-1, 1), torch.linspace(0, 6, width)
    for row in range(PROBES // 2):
        pixels[row] = 127.5 * (1 + torch.sin(y * (row + 1)) * torch.cos(x * (row + 1)))
    pixels[-1] = pixels[-1].mean((1, 2), keepdim=True)
    rows = torch.stack([encode(image, spec.pixels) for image in pixels])
    return {spec.input.name: rows.round().to(torch.uint8) if spec.pixels.integer else rows}


def verify(production: Predictor, stand_in: Predictor, spec: ModelSpec, other: ModelSpec, tolerance: float) -> Gap:
    """Compare the answers to the probes. Raises Unsupported, with the numbers, beyond `tolerance`."""
    if (spec.input, spec.pixels) != (other.input, other.pixels):
        raise _refused(spec, f"it takes {other.input}, production {spec.input}")
    rows = probes(spec)
    a, b = (_answers(p, s, rows) for p, s in ((production, spec), (stand_in, other)))
    if a.shape != b.shape:
        raise _refused(spec, f"it answers {b.shape[1]} numbers a row, production {a.shape[1]}")
    found = gap(a, b, tolerance)
    if not found.near:
        raise _refused(
            spec,
            f"on {found.rows} probes it differs by {found.largest:.2g} of the largest output, {tolerance:g} is "
            f"allowed, and its top class differs on {found.other_top}",
        )
    return found


def _answers(predictor: Predictor, spec: ModelSpec, rows: Rows) -> torch.Tensor:
    call = predictor.start(Forward(Model(spec.name, spec.version)), [rows], lambda: None)
    return call.result()["y"].double()


def _refused(spec: ModelSpec, why: str) -> Unsupported:
    return Unsupported(
        "EXPLANATION_ENDPOINT", spec.name, f"the explanation endpoint of {spec.name} {spec.version} is refused: {why}"
    )


class ExplanationPredictor:
    """Production's model, versions and specifications; rows go to `stand_in`.

    version: the stand-in's version to ask; None: the same as production's.
    """

    def __init__(
        self, production: TritonPredictor, stand_in: TritonPredictor, tolerance: float, version: str | None = None
    ) -> None:
        self.name, self.lane, self.depth = production.name, stand_in.lane, stand_in.depth
        self._production, self._stand_in = production, stand_in
        self._tolerance, self._version = tolerance, version
        self._gaps: dict[tuple[str, int, int], Gap] = {}
        self._verifying = threading.Lock()

    @property
    def placement(self) -> Placement:
        return self._stand_in.placement

    @property
    def tile_rows(self) -> int:
        return self._stand_in.tile_rows

    @property
    def batch_rows(self) -> int:
        return self._stand_in.batch_rows

    @property
    def endpoint(self) -> Endpoint:
        return replace(self._stand_in.endpoint, executor="triton_explanation", shares_production=False)

    def versions(self) -> tuple[str, ...]:
        return self._production.versions()

    def spec(self, version: str | None = None) -> ModelSpec:
        """As production's. Verifies the version where that was not done since either Triton was last lost."""
        spec = self._production.spec(version)
        self.gap(spec)
        return spec

    def gap(self, spec: ModelSpec) -> Gap:
        """The verified difference of a version of production. Raises Unsupported beyond the tolerance."""
        key = (spec.version, self._production.generation, self._stand_in.generation)
        with self._verifying:
            if key not in self._gaps:
                try:
                    other = self._stand_in.spec(self._version or spec.version)
                except Unknown as error:
                    raise Unavailable(f"the explanation endpoint of {self.name}: {error}") from None
                self._gaps[key] = verify(self._production, self._stand_in, spec, other, self._tolerance)
            return self._gaps[key]

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Call:
        if isinstance(ask, Forward):
            there = Model(self._stand_in.name, self._version or ask.model.version, ask.model.variant)
            ask = replace(ask, model=there)
        return self._stand_in.start(ask, tiles, wake)

    def close(self) -> None:
        self._production.close()
        self._stand_in.close()
