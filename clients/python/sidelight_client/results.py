"""Answers: an `Explanation` has one `Result` for each model, target and property."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from PIL import Image
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, ExplainResponse

from sidelight_client import curve, notebook, pictures, summary, tables, tensors
from sidelight_client.attributions import Attribution
from sidelight_client.drawing import Drawing
from sidelight_client.errors import InvalidRequest
from sidelight_client.inputs import Source
from sidelight_client.interventions import Intervention
from sidelight_client.optimised import Optimised, Rationale

MapKey = tuple[types_pb2.MapKind, types_pb2.Resolution]


@dataclass(frozen=True)
class Unit:
    """The score of a word, a segment or a property. `begin` and `end` count characters of the text."""

    name: str
    score: float
    standard_error: float | None = None
    begin: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class ClassScore:
    """A class with the model's output for it."""

    index: int
    label: str
    value: float

    @property
    def name(self) -> str:
        """The label, or the index where the model has no labels."""
        return self.label or f"class {self.index}"


@dataclass(frozen=True, eq=False)
class Measured:
    """What a metric found: its numbers and curves by name; none where there is a `reason` why not."""

    values: Mapping[str, float]
    curves: Mapping[str, np.ndarray]
    replacement: str  # what stood where the input was hidden; empty for a metric that hides nothing
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """One explanation, of one model, target and property. `message` is the protocol's, with all that it tells."""

    message: types_pb2.Result
    maps: Mapping[MapKey, np.ndarray]
    source: Source | None
    # The number of each pixel's segment, int64 [height, width]; None if `outputs` did not ask for "segments".
    labels: np.ndarray | None = None
    # Of path attributions: what each attributed of what there was; `map` shows the first. None for other methods.
    attributions: tuple[Attribution, ...] = ()
    # Of mask optimisation: how the mask, which is `map`, was come by, and what it is worth. None for other methods.
    optimised: Optimised | None = None
    # Of interventional methods: what a property did to the explained number. None for other methods.
    intervention: Intervention | None = None

    @property
    def model(self) -> str:
        return self.message.model.model.name

    @property
    def version(self) -> str:
        """The model version that answered."""
        return self.message.model.model.version

    @property
    def twin_gap(self) -> float | None:
        """Largest difference of the twin from the served model on this input, over the largest output."""
        return _optional(self.message.model, "twin_gap")

    @property
    def target(self) -> ClassScore | None:
        """The explained class with its value on the explained scale; None for cosine targets."""
        target = self.message.target
        return _class_score(target.instance) if target.HasField("instance") else None

    @property
    def target_name(self) -> str:
        """What was explained, in words."""
        target = self.message.target
        name = self.target.name if self.target else " + ".join(target.references)
        against = ", ".join(_class_score(c).name for c in target.contrast)
        return f"{name} rather than {against}" if against else name

    @property
    def scale(self) -> str:
        """The scale of the explained number: "logit", "probability", ..."""
        return self.message.target.scale

    @property
    def property_name(self) -> str:
        """The intervened property; empty where the method has none."""
        return self.message.property

    @property
    def map(self) -> np.ndarray | None:
        """Attributions at the method's own resolution, float32 [height, width] or [unit]; None if not asked for."""
        return self.maps.get((types_pb2.MAP_KIND_ATTRIBUTION, types_pb2.RESOLUTION_METHOD))

    @property
    def standard_error(self) -> np.ndarray | None:
        """The standard error of `map`, of the same shape; None if not asked for, or where the method has none."""
        return self.maps.get((types_pb2.MAP_KIND_STANDARD_ERROR, types_pb2.RESOLUTION_METHOD))

    @property
    def map_at_input(self) -> np.ndarray | None:
        """Attributions at the input's resolution, float32 [height, width], NaN outside the model's crop."""
        return self.maps.get((types_pb2.MAP_KIND_ATTRIBUTION, types_pb2.RESOLUTION_INPUT))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Scores by word, segment or property, in their order in the input; empty for maps alone."""
        return tuple(
            Unit(u.name, u.score, *(_optional(u, name) for name in ("standard_error", "begin", "end")))
            for u in self.message.units
        )

    @cached_property
    def metrics(self) -> Mapping[str, "Measured"]:
        """What the metrics asked for found, by their names."""
        return {m.name: _measured(m) for m in self.message.metrics}

    @property
    def rest(self) -> float | None:
        """Attribution of what no unit stands for, such as the special tokens of a text; None where there is none."""
        return _optional(self.message, "rest")

    @cached_property
    def rationales(self) -> tuple[Rationale, ...]:
        """Of mask optimisation on a text: the runs of words that the mask keeps, in their order."""
        told = self.message.optimised.rationales
        return tuple(Rationale(self._between(r.begin, r.end), r.begin, r.end, r.score) for r in told)

    def _between(self, begin: int, end: int) -> str:
        """These characters of the text; where the client has it no more, its words there."""
        if self.source is not None and self.source.text is not None:
            return self.source.text[begin:end]
        return " ".join(u.name for u in self.words if u.begin is not None and begin <= u.begin < end)

    @property
    def words(self) -> tuple[Unit, ...]:
        """The units of a text; none for an image, whose units are segments."""
        return self.units if self.labels is None else ()

    @property
    def value(self) -> float:
        """The explained number on the input; of interventional methods on the unedited one."""
        return self.message.instance_output_value

    @property
    def baseline_value(self) -> float:
        """The explained number on the baseline; of interventional methods, which have none, at the first strength."""
        return self.message.baseline_output_value

    @property
    def evaluations(self) -> int:
        """Model evaluations spent."""
        return self.message.evaluations

    @property
    def edits(self) -> int:
        """Image edits made for the property, shared by all models and targets of the request."""
        return self.message.edits

    @property
    def rows_done(self) -> int:
        """Rows of the method behind this result."""
        return self.message.rows_done

    @property
    def stop_reason(self) -> str:
        """Why it stopped: "complete", "max_evaluations", "tolerance" or "deadline"."""
        return types_pb2.StopReason.Name(self.message.stop_reason).removeprefix("STOP_REASON_").lower()

    @property
    def converged(self) -> bool:
        """Whether the tolerance asked for was reached, or all rows done where none was asked for."""
        return self.message.converged

    @property
    def relative_standard_error(self) -> float | None:
        """95th percentile over pixels of standard error / (max - min of the map)."""
        return _optional(self.message, "relative_standard_error")

    @property
    def top_classes(self) -> tuple[ClassScore, ...]:
        """The classes that the model ranks highest on the unperturbed input, on `top_classes_scale`."""
        return tuple(_class_score(c) for c in self.message.top_classes)

    @property
    def top_classes_scale(self) -> str:
        return self.message.top_classes_scale

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self.message.warnings)

    def table(self) -> str:
        """A line for each attribution: target T, result R, error E, |E|/|T|, the largest part of E, evaluations."""
        return tables.text(tables.attributions(self))

    def curve(self) -> Image.Image:
        """Of interventional methods: the response curve, the chosen frames with their outputs, and the test, RGB.

        Raises ValueError for other methods.
        """
        return self._drawn().image()

    def curve_svg(self) -> str:
        """The same as SVG, which holds the frames, for HTML. Raises ValueError for methods that do not intervene."""
        return self._drawn().svg()

    def _drawn(self) -> Drawing:
        if self.intervention is None:
            raise ValueError("there is no curve: the method does not intervene on any property")
        return curve.draw(self)

    def overlay(self, image: Image.Image | None = None) -> Image.Image:
        """The map over the input, RGBA, transparent outside the model's crop.

        With an `image`, or where the service was not asked for its overlay, it is drawn here, from the map whose size
        is the picture's. Raises ValueError where there is none: ask for `outputs` "overlay" or "map_at_input".
        """
        if image is None and self.message.overlay_png:
            return pictures.opened(self.message.overlay_png)
        picture = self._source_picture() if image is None else image
        if picture is None:
            raise ValueError("there is no picture to draw on")
        values = self._map_for(picture)
        if values is None:
            width, height = picture.size
            raise ValueError(f"no map is {width}×{height} as the picture: ask for outputs 'overlay' or 'map_at_input'")
        return pictures.overlay(picture, values)

    @property
    def pictured(self) -> Image.Image | None:
        """The overlay, where one can be had; of interventional methods the curve."""
        if self.intervention is not None:
            return self.curve()
        if not self.message.overlay_png:
            picture = self._source_picture()
            if picture is None or self._map_for(picture) is None:
                return None
        return self.overlay()

    def _source_picture(self) -> Image.Image | None:
        return None if self.source is None else self.source.picture()

    def _map_for(self, picture: Image.Image) -> np.ndarray | None:
        """The map of the picture's size. One of another size is not stretched: it need not show the same part."""
        maps = (self.map_at_input, self.map)
        return next((m for m in maps if m is not None and m.shape == picture.size[::-1]), None)

    def __repr__(self) -> str:
        error = self.relative_standard_error
        shape = f"map {'×'.join(map(str, self.map.shape))}" if self.map is not None else "no map"
        if self.intervention is not None:
            shape = f"{len(self.intervention.strengths)} strengths"
        parts = [
            f"{self.model}@{self.version}",
            self.target_name,
            f"{self.scale} {self.baseline_value:.4g} → {self.value:.4g}",
            f"{len(self.units)} units" if self.units else shape,
            f"{self.evaluations} evaluations",
            self.stop_reason + ("" if error is None else f", error {error:.1%}"),
            *(f"{summary.attributed(a)}" for a in self.attributions[:1]),
            *(summary.worth(o) for o in [self.optimised] if o is not None),
            *(f"{i.property}: {curve.headline(i)}" for i in [self.intervention] if i is not None),
            *(f"warning: {w}" for w in self.warnings),
        ]
        return f"<Result {' · '.join(parts)}>"

    def _repr_html_(self) -> str:
        return notebook.result(self)

    def _repr_png_(self) -> bytes | None:
        picture = self.pictured
        return None if picture is None else pictures.png(picture)


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """An answer. `message` is the protocol's; `source` the input, where the client still has it."""

    message: ExplainResponse
    results: tuple[Result, ...]
    source: Source | None

    @classmethod
    def decode(cls, message: ExplainResponse, source: Source | None, chunks: tensors.Chunks) -> "Explanation":
        """The answer with its tensors as arrays. Raises ProtocolError where they do not fit their description."""
        frames: Frames = {}  # the first result of a model and property has them for all its targets
        results = (
            Result(
                r,
                {(m.kind, m.resolution): chunks.decode(m.tensor) for m in r.maps},
                source,
                chunks.decode(r.labels) if r.HasField("labels") else None,
                tuple(Attribution.decode(a, chunks) for a in r.attributions),
                Optimised.decode(r.optimised, chunks) if r.HasField("optimised") else None,
                _intervention(r, frames) if r.HasField("intervention") else None,
            )
            for r in message.results
        )
        return cls(message, tuple(results), source)

    @property
    def best(self) -> Result:
        """The first result: of the first model the class asked for first, or ranked highest."""
        return self.results[0]

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def method(self) -> str:
        return self.message.method

    @property
    def seed(self) -> int:
        return self.message.resolved.seed

    @property
    def resolved(self) -> ExplainRequest:
        """The request with every default filled in, without its input."""
        return self.message.resolved

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by where they went: queue, edit, infer, fold, total."""
        return {d.name: v.ToTimedelta().total_seconds() for d, v in self.message.timing.ListFields()}

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self.message.warnings)

    def table(self) -> str:
        """The attributions of every result, a table for each; of interventions a line for each; else empty.

        print(client.explain("cat.jpg", model="resnet50", method="compare", link="logit").table())
        """
        intervened = [result for result in self.results if result.intervention is not None]
        if intervened:
            return tables.text(tables.interventions(intervened))
        return "\n".join(result.table() for result in self.results if result.attributions)

    def replay_request(self) -> ExplainRequest:
        """The request, but for its input, that gives this answer again.

        A tolerance stops at the same row by itself; what a deadline cut short is pinned to the rows that were done.
        """
        request = ExplainRequest()
        request.CopyFrom(self.resolved)
        cut = {r.rows_done for r in self.results if r.stop_reason == "deadline"}
        if not cut:
            return request
        if {r.rows_done for r in self.results} != cut or len(cut) > 1:
            raise InvalidRequest.of("answer", "its results stopped at different rows; explain each model on its own")
        request.budget.max_evaluations = cut.pop()
        request.budget.ClearField("tolerance")
        return request

    def to_json(self) -> dict:
        """The answer as protobuf's JSON, with the protocol's field names, without maps and pictures."""
        lean = ExplainResponse()
        lean.CopyFrom(self.message)
        for result in lean.results:
            result.ClearField("overlay_png")
            for frame in result.intervention.frames if result.HasField("intervention") else ():
                frame.ClearField("png")
            for tensor in _tensors(result):
                tensor.ClearField("contents")
                tensor.ClearField("chunk_id")
        return json_format.MessageToDict(lean, preserving_proto_field_name=True)

    def save(self, folder: str | Path) -> list[Path]:
        """Write overlay.png, map.npy, standard_error.npy, map_at_input.npy, labels.npy (those there are), answer.json.

        Maps of a comparison and attributions at layers go into attributions.npz, by their names; the terms of an
        optimised mask's objective into optimised.npz. For a text answer.html shows its words coloured by their scores.
        Of interventions curve.png, series.csv, series.json and frame-<place>.png for each chosen frame, and all results
        in one answer.html that needs no other file.
        The second result's files are called overlay-2.png and so on. Makes the folder; returns what it wrote.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for number, result in enumerate(self.results, start=1):
            suffix = "" if number == 1 else f"-{number}"
            if (picture := result.pictured) is not None:
                written.append(folder / f"{'overlay' if result.intervention is None else 'curve'}{suffix}.png")
                picture.save(written[-1])
            if result.intervention is not None:
                written += _save_series(result.intervention, folder, suffix)
            for name in ("map", "standard_error", "map_at_input", "labels"):
                if (values := getattr(result, name)) is not None:
                    written.append(folder / f"{name}{suffix}.npy")
                    np.save(written[-1], values)
            optimised = {} if result.optimised is None else result.optimised.arrays
            for name, arrays in (("attributions", _arrays(result.attributions)), ("optimised", optimised)):
                if arrays:
                    written.append(folder / f"{name}{suffix}.npz")
                    np.savez(written[-1], **arrays)  # type: ignore[arg-type]  # numpy's stubs take the names for flags
        intervened = any(result.intervention is not None for result in self.results)
        if intervened or (self.source is not None and self.source.text is not None):
            written.append(folder / "answer.html")
            written[-1].write_text(notebook.page(self), encoding="utf-8")
        written.append(folder / "answer.json")
        written[-1].write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n")
        return written

    def __repr__(self) -> str:
        head = f"Explanation {self.id} · {self.method} · seed {self.seed} · {self.timings.get('total', 0.0):.2f} s"
        lines = [head, *(f"  {r!r}" for r in self.results), *(f"  warning: {w}" for w in self.warnings)]
        return "<" + "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        return notebook.explanation(self)


def _class_score(score: types_pb2.ClassScore) -> ClassScore:
    return ClassScore(score.index, score.label, score.value)


def _arrays(attributions: tuple[Attribution, ...]) -> dict[str, np.ndarray]:
    """By attribution, and of attributions at a layer by attribution and layer: "odam", "odam.layer4"."""
    maps = {a.attribution: a.map for a in attributions if a.map is not None}
    features = {f"{a.attribution}.{name}": values for a in attributions for name, values in a.features.items()}
    return maps | features


Frames: TypeAlias = dict[tuple[str, str, str], Sequence[types_pb2.Frame]]


def _intervention(result: types_pb2.Result, frames: Frames) -> Intervention:
    """With the frames of its model and property, which `frames` remembers."""
    model, told = result.model.model, result.intervention
    shown = frames.setdefault((model.name, model.version, result.property), told.frames)
    return Intervention.decode(told, result.property, shown)


def _save_series(found: Intervention, folder: Path, suffix: str) -> list[Path]:
    """The series as tables, and its chosen frames."""
    written = [folder / f"series{suffix}.csv", folder / f"series{suffix}.json"]
    written[0].write_text(found.csv(), encoding="utf-8")
    written[1].write_text(json.dumps(found.rows(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for frame in found.frames:
        written.append(folder / f"frame{suffix}-{frame.index}.png")
        written[-1].write_bytes(frame.png)
    return written


def _tensors(result: types_pb2.Result) -> Iterator[types_pb2.Tensor]:
    """Every tensor of a result."""
    yield from (m.tensor for m in result.maps)
    if result.HasField("labels"):
        yield result.labels
    for one in result.attributions:
        yield from one.features
        if one.HasField("map"):
            yield one.map
    yield from result.optimised.terms
    for name in ("w", "sigma"):
        if result.optimised.HasField(name):
            yield getattr(result.optimised, name)


def _measured(found: types_pb2.MetricResult) -> Measured:
    values = {v.name: v.value for v in found.values}
    return Measured(values, {c.name: np.array(c.values) for c in found.curves}, found.replacement, found.reason)


def _optional(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None
