"""The properties of a request as sequences of edits: one for each, shared by all models that are asked.

    do(X := x_i), i = 0..N-1;   x_i as given, or x_0 + (x_{N-1} - x_0) i / (N - 1)

The noise of every edit is drawn from one stream, `edit` of the request's seed, the same for all strengths, properties
and models: it is the fixed seed that makes a series gradual.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sidelight_proto.v1.explanation_pb2 import ExplainRequest

from sidelight.core.editor import Canvas, Editor, Prepared, Scale
from sidelight.core.editor import find as find_kind
from sidelight.core.errors import InvalidRequest
from sidelight.core.params import Chosen, kind_of
from sidelight.core.predictor import ModelSpec
from sidelight.core.registry import Method
from sidelight.core.sequence import Sequence as Edits
from sidelight.core.stream import Stream
from sidelight.rpc.images import decode_layer
from sidelight.rpc.series import Series, ordered, too_many
from sidelight.rpc.sources import Limits, Source
from sidelight.rpc.studio import Studio
from sidelight.rpc.violations import Violations

CAPTURED = "captured"  # the kind whose frames the caller has sent
FEWEST = 3  # strengths: central differences need a middle
GRID = ("strengths", "first", "last")
_SENT: Mapping[str, Any] = {}  # what is to be filled in where the strengths themselves were sent: nothing


@dataclass(frozen=True, eq=False)
class Intervention:
    """One property: its edits, and who makes them."""

    edits: Edits
    editor: Editor

    @property
    def most(self) -> int:
        """Edits, at most: those that the store remembers are not made again."""
        return 0 if self.edits.prepared.frames else len(self.edits.strengths)


def refuse_maps(request: ExplainRequest, method: Method, wrong: Violations) -> None:
    """Note what is only for methods with attribution maps, where `method` makes none."""
    if request.baseline.WhichOneof("kind") is not None:
        wrong.add("baseline", f"leave it out: {method.name} masks nothing, so nothing stands for what is masked")
    if request.metrics:
        wrong.add("metrics", f"leave them out: they measure attribution maps, and {method.name} makes none")
    if request.budget.HasField("tolerance"):
        wrong.add("budget.tolerance", f"leave it out: it is of the error of maps, and {method.name} makes none")
    for name in ("map_at_input", "overlay", "segments", "features"):
        if getattr(request.outputs, name):
            wrong.add(f"outputs.{name}", f"leave it out: {method.name} makes no attribution maps")


def check_editable(request: ExplainRequest, method: Method, specs: Sequence[ModelSpec]) -> None:
    """Raises InvalidRequest where the input or a model is of anything but images."""
    wrong = Violations()
    for i, spec in enumerate(specs):
        if spec.modality != "image":
            wrong.add(f"models[{i}]", f"a model of images: {method.name} edits images, and {spec.name} takes none")
    if request.input.WhichOneof("kind") == "text":
        wrong.add("input.text", f"an image (input.image or input.series): {method.name} edits images")
    wrong.settle()


def check_series(source: Source, path: str, params: Any) -> None:
    """Raises InvalidRequest where there is nothing to intervene on, or images that no property is of."""
    kinds = [q.editor.name for q in params.properties if q.editor is not None]
    series = isinstance(source, Series)
    if not params.properties and not series:
        raise InvalidRequest(
            f"{path}.properties", "name a property and what edits it, or send images as `input.series`"
        )
    if series and params.properties and CAPTURED not in kinds:
        raise InvalidRequest(
            "input.series", f"is for a property that is `captured`; name one, or leave {path}.properties empty"
        )


def interventions(
    params: Any, canvas: Canvas, stream: Stream, studio: Studio, limits: Limits, path: str
) -> tuple[Any, tuple[Intervention, ...]]:
    """The parameters with all that they leave to the editors filled in, and what they ask for. Slow.

    path: of the method's field in the request. Raises InvalidRequest naming all properties that will not do.
    """
    asked = params.properties or (_captured(params),)
    names = _names(asked, path)
    wrong, filled, found = Violations(), [], []
    room = limits.frame_bytes
    for i, (q, name) in enumerate(zip(asked, names, strict=True)):
        with wrong.gathered():
            where = f"{path}.properties[{i}]"
            resolved, intervention = _intervention(q, name, canvas, stream, studio, limits, where)
            room -= _bytes(intervention.edits.prepared, len(intervention.edits.strengths))
            if room < 0:
                raise InvalidRequest(f"{where}.count", f"{too_many(limits)}; fewer strengths, or a smaller image")
            filled.append(resolved)
            found.append(intervention)
    wrong.settle()
    return dataclasses.replace(params, properties=tuple(filled)), tuple(found)


def _captured(params: Any) -> Any:
    """The one property of a series that says no more than its images."""
    (record,) = (f.metadata["records"] for f in dataclasses.fields(params) if f.name == "properties")
    return record(editor=Chosen(CAPTURED, find_kind(CAPTURED).params()))


def _intervention(
    q: Any, name: str, canvas: Canvas, stream: Stream, studio: Studio, limits: Limits, path: str
) -> tuple[Any, Intervention]:
    if q.editor is None:
        raise InvalidRequest(path, "say what edits it: set the parameters of an editor, as the catalogue lists them")
    kind, own = q.editor.name, f"{path}.{q.editor.name}"
    _check_captured(q, kind, canvas, path)
    with _below(own):
        editor = studio.find(kind, getattr(q.editor.params, "editor", ""))
        layers = _layers(q.editor.params, limits)
        scale = editor.scale(layers, canvas)
    if kind == CAPTURED:
        assert canvas.captured is not None  # as was checked
        strengths = canvas.captured.strengths
        grid: Mapping[str, Any] = {"count": len(strengths)}
    else:
        strengths, grid = _grid(q, scale, path)
    with _below(own):
        prepared = editor.prepare(layers, canvas, stream)
    unit = q.unit or scale.unit
    edits = Edits(
        name, editor.name, unit, strengths, prepared, studio.store, path, scale.neutral, original=canvas.pixels
    )
    params = q.editor.params
    if hasattr(params, "editor"):
        params = dataclasses.replace(params, editor=editor.name)
    resolved = dataclasses.replace(q, name=name, unit=unit, editor=Chosen(kind, params), **grid)
    return resolved, Intervention(edits, editor)


def _check_captured(q: Any, kind: str, canvas: Canvas, path: str) -> None:
    if kind != CAPTURED:
        return
    if canvas.captured is None:
        raise InvalidRequest(f"{path}.{CAPTURED}", "is of images that are sent as `input.series`; there are none")
    for field in GRID:
        if getattr(q, field) not in (None, ()):
            raise InvalidRequest(f"{path}.{field}", "leave it out: a captured series has the strengths of input.series")
    if q.count not in (None, count := len(canvas.captured.strengths)):  # answers tell it, and are asked again
        raise InvalidRequest(f"{path}.count", f"leave it out, or {count}, as many as input.series has images")


def _grid(q: Any, scale: Scale, path: str) -> tuple[tuple[float, ...], Mapping[str, Any]]:
    """The strengths in order, and the fields that say them in full."""
    if q.strengths:
        for field in ("first", "last", "count"):
            if getattr(q, field) is not None:
                raise InvalidRequest(f"{path}.{field}", "leave it out, or leave out `strengths`, which say all of it")
        if len(q.strengths) < FEWEST:
            raise InvalidRequest(f"{path}.strengths", f"at least {FEWEST} of them, not {len(q.strengths)}")
        for i, x in enumerate(ordered(q.strengths, f"{path}.strengths")):
            _within(x, scale, f"{path}.strengths[{i}]")
        return tuple(q.strengths), _SENT
    first, last, count = (
        getattr(scale, field) if getattr(q, field) is None else getattr(q, field)
        for field in ("first", "last", "count")
    )
    _within(first, scale, f"{path}.first")
    _within(last, scale, f"{path}.last")
    if first == last:
        raise InvalidRequest(f"{path}.last", f"other than first, which is {first:g}: a series goes somewhere")
    # Endpoints are exact, and so is whatever lies on the line in binary.
    inner = (first + (last - first) * i / (count - 1) for i in range(1, count - 1))
    return (float(first), *inner, float(last)), {"first": first, "last": last, "count": count}


def _within(x: float, scale: Scale, path: str) -> None:
    if not scale.low <= x <= scale.high:
        unit = f" ({scale.unit})" if scale.unit else ""
        raise InvalidRequest(path, f"a strength in {scale.low:g}..{scale.high:g}{unit}, not {x:g}")


def _layers(params: Any, limits: Limits) -> Any:
    """The parameters with their pictures decoded; those that are not there stay empty."""
    found = {
        f.name: decode_layer(data, limits.max_image_pixels, f.name, grey=f.metadata["grey"])
        for f in dataclasses.fields(params)
        if kind_of(f) == "picture" and (data := getattr(params, f.name))
    }
    return dataclasses.replace(params, **found)


@contextmanager
def _below(path: str) -> Iterator[None]:
    """Name the fields of an editor's own parameters as the request has them."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}.{error.field}" if error.field else path, error.mend) from error


def _names(properties: Sequence[Any], path: str) -> tuple[str, ...]:
    """Each property's own; of one that has none its editor's, numbered where there are several of a kind."""
    first: dict[str, int] = {}
    for i, q in enumerate(properties):
        if q.name and first.setdefault(q.name, i) != i:
            raise InvalidRequest(
                f"{path}.properties[{i}].name", f"one of its own: {q.name!r} is that of properties[{first[q.name]}]"
            )
    kinds = Counter(q.editor.name for q in properties if q.editor is not None and not q.name)
    taken, found = set(first), []
    for q in properties:
        name = q.name
        if not name and q.editor is not None:
            kind = q.editor.name
            several = (f"{kind} {n}" for n in range(1, len(properties) + len(taken) + 1))
            free = (n for n in (several if kinds[kind] > 1 or kind in taken else (kind,)) if n not in taken)
            taken.add(name := next(free))
        found.append(name)
    return tuple(found)


def _bytes(prepared: Prepared, count: int) -> int:
    """Of all frames of one property."""
    if prepared.frames:
        return sum(frame.numel() for frame in prepared.frames)
    height, width = prepared.size
    return count * 3 * height * width
