"""What interventions came to as messages, and what to doubt about them."""

import io
import math
from collections.abc import Iterator

from PIL import Image
from sidelight_proto.v1 import types_pb2

from sidelight.core.editor import Frame
from sidelight.core.effect import Response, Significance
from sidelight.core.predictor import ModelSpec
from sidelight.rpc.interventions import Intervention

SIDE, SMALLEST = 256, 16  # pixels along a frame's longer side
CURVES = 8  # classes along the series that an answer is reckoned to hold
FEW = 8  # strengths: below, even a straight ramp has p >= .01
SAME = 0.5  # of 255, mean difference of pixels that nobody sees
OTHER = 0.2  # structural similarity below which an image is hardly the same any more


def intervention_bytes(count: int) -> int:
    """Bytes of one property's numbers, of one target, with N = count strengths; frames have a room of their own."""
    return 8 * count * (5 + CURVES)


def encode_intervention(
    r: Response, t: int, spec: ModelSpec, asked: Intervention, frames: list[types_pb2.Frame]
) -> types_pb2.Intervention:
    """The t-th explained number along one property. Curves of classes are on the scale of the top classes."""
    effect = r.effects[t]
    return types_pb2.Intervention(
        editor=r.editor,
        editor_digest=asked.editor.digest,
        unit=r.unit,
        count=r.count,
        strengths=r.strengths.tolist(),
        outputs=effect.outputs.tolist(),
        score=effect.score,
        score_with_original=effect.score_with_original,
        estimated=effect.estimated,
        total_variation=effect.total_variation,
        signed_mean=effect.signed_mean,
        gradient=effect.gradient if math.isfinite(effect.gradient) else None,
        reconstruction_shift=effect.reconstruction_shift,
        significance=None if effect.significance is None else _test(effect.significance),
        dependence=[
            types_pb2.DependenceResult(name=name, value=d.value, p_value=d.p_value)
            for name, d in effect.dependence.items()
        ],
        flips=r.flips,
        flips_at=r.flips_at,
        top=r.top.tolist(),
        classes=[
            types_pb2.ClassCurve(index=c, label=spec.labels[c] if c < len(spec.labels) else "", values=curve)
            for c, curve in zip(r.classes.tolist(), r.curves.T.tolist(), strict=True)
        ],
        pixel_distance=r.distance.tolist(),
        structural_similarity=r.similarity.tolist(),
        frames=frames,
        strengths_saved=r.saved,
    )


def _test(s: Significance) -> types_pb2.SignificanceTest:
    return types_pb2.SignificanceTest(
        permutations=s.permutations,
        p_value=s.p_value,
        p_value_raw=s.p_value_raw,
        p_value_corrected=s.adjusted,
        significant=s.significant,
        null_mean=s.null_mean,
        null_low=s.null_low,
        null_high=s.null_high,
    )


def encode_frames(r: Response, max_bytes: int) -> list[types_pb2.Frame]:
    """The chosen frames as PNG, none over `SIDE` pixels a side; smaller where they would take over `max_bytes`."""
    side = SIDE
    while True:
        found = [
            types_pb2.Frame(index=i, strength=r.strengths[i].item(), png=_png(frame, side))
            for i, frame in zip(r.chosen, r.frames, strict=True)
        ]
        size = sum(len(f.png) for f in found)
        if size <= max_bytes or side <= SMALLEST:
            return found
        # Bytes go with the area; a little less, since small pictures compress worse.
        side = max(SMALLEST, int(side * min(0.9 * (max_bytes / size) ** 0.5, 0.9)))


def _png(frame: Frame, side: int) -> bytes:
    image = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((side, side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def intervention_warnings(r: Response, t: int) -> Iterator[str]:
    """What a reader should doubt about a property's effect."""
    effect = r.effects[t]
    if r.saved:
        word = "is an estimate and has no test" if effect.estimated else "is nevertheless of all of them"
        yield f"{r.saved} of {r.count} strengths were left out by adaptive sampling: the score {word}"
    elif effect.estimated:
        done = len(r.strengths)
        yield f"only {done} of {r.count} strengths were evaluated: the score is an estimate, and there is no test of it"
    elif r.count < FEW:
        yield f"with {r.count} strengths even a straight ramp cannot reach p < .01: take at least {FEW}"
    yield from _picture_warnings(r)
    if r.repeated:
        yield (
            f"{r.repeated} of {len(r.strengths)} frames are the same as the one before: tests are of the others, and "
            "the score counts them as no change"
        )
    shift = abs(effect.reconstruction_shift)
    if shift > effect.total_variation and shift > 1e-9:
        yield (
            f"at the first strength the number is already {effect.reconstruction_shift:+.3g} from the input's, more "
            f"than it moves along the series ({effect.total_variation:.3g}): the editor's doing, not the property's"
        )


def _picture_warnings(r: Response) -> Iterator[str]:
    if not len(r.distance):
        return
    if bool((r.distance <= SAME).all()):
        yield "the edits hardly changed the image: a small effect says nothing about the property"
    if (most := r.similarity.max().item()) < OTHER:
        yield (
            f"at every strength the image is hardly the same any more (SSIM at most {most:.2f}): the series is of "
            "other images, and not of the input with one property changed"
        )
