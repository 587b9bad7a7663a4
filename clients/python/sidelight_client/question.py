"""The request in the caller's words, and its message."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

import numpy as np
from google.protobuf.message import Message
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest
from sidelight_proto.v1.metrics_pb2 import Metric

from sidelight_client.baselines import BaselineLike, baseline
from sidelight_client.errors import InvalidRequest
from sidelight_client.inputs import Source
from sidelight_client.methods import MAPLESS, hint, named
from sidelight_client.parameters import fill
from sidelight_client.references import Vectors, embeddings

ClassLike: TypeAlias = int | str


@dataclass(frozen=True)
class Model:
    """A served model; without a version the newest that is ready."""

    name: str
    version: str | None = None


class Question(TypedDict, total=False):
    """What may be asked. Only `model` is always needed."""

    # A name, a `Model` with its version, or several to compare.
    model: str | Model | Sequence[str | Model]
    # A method's message, such as `Rise(masks=4000)`, or its name; "rise" when absent.
    method: str | Message
    # Parameters of the method in plain words, for example {"segmentation": "slic", "samples": 500}: names of choices in
    # lower case, several of a kind as a list ({"layers": ["_blocks.10"]}), arrays for tensors (a label map, a map that
    # is given), tables for what has parameters of its own ({"properties": [{"parametric": {"change": "blur"}}]}).
    parameters: Mapping[str, Any]
    # Quality metrics of each map: names, or names with parameters, as {"srg": {}, "pointing_game": {"mask": m}}.
    metrics: Iterable[str] | Mapping[str, Mapping[str, Any]]
    # Classes by index (int) or label (str); absent means the class that the model ranks highest.
    target: ClassLike | Sequence[ClassLike]
    # Explain the k classes that the model ranks highest, instead of `target`.
    top_k: int
    # Classes whose mean is subtracted: why this and not that.
    contrast: ClassLike | Sequence[ClassLike]
    # The scale of the explained number: "logit", "probability", "log_probability", "cosine", ...
    link: str
    # Vectors in the model's output space, for link="cosine": {"cat": v}, or {"cat": [v1, v2]} (an array [n, K]), whose
    # similarities are averaged. One result for each name.
    references: Mapping[str, Vectors]
    # What stands for "not there": "model_mean", "black", "grey", "white", "image_mean", "image_median", "blur",
    # "noise", "histogram", "random_colour", "segment_mean", "inpainting", for path attribution also "feature_zero",
    # "feature_mean" and "neutral"; a grey value or colour in 0..255, an image, a message such as
    # `BlurBaseline(sigma=8)`; with reference images {"reference_mean": ["a.jpg", "b.jpg"]}, or "feature_mean" likewise.
    # A list of several of these is their distribution, for path attribution and masks. Absent means the method's own
    # default, which `resolved` of the answer names.
    baseline: BaselineLike
    # For the same answer again; drawn and told in the answer when absent.
    seed: int
    # Stop after so many rows of the method.
    max_evaluations: int
    # Stop when the relative standard error is at most this; of path attributions, the residual and the map's error.
    tolerance: float
    # At the deadline take the map so far instead of DeadlineExceeded.
    allow_partial: bool
    # Of "map", "standard_error", "map_at_input", "overlay", "segments", "features".
    outputs: Iterable[str]
    # Your name for the request; the service logs it.
    id: str


def build(source: Source, question: Question) -> ExplainRequest:
    """The request. Raises InvalidRequest where the client itself can tell that an argument is wrong."""
    for key in question.keys() - Question.__annotations__.keys():
        raise TypeError(f"there is no argument {key!r}; {hint(key, Question.__annotations__)}")
    name, method = named(question.get("method", "rise"))
    if question.get("parameters"):
        (filled := type(method)()).CopyFrom(method)
        fill(filled, question["parameters"], name)
        method = filled
    request = ExplainRequest(
        models=[_model(m) for m in _several(question.get("model", ()))],
        input=source.message,
        outputs=_outputs(question.get("outputs"), source, maps=name not in MAPLESS),
        metrics=_metrics(question.get("metrics") or ()),
        **{name: method},
    )
    if not request.models:
        raise InvalidRequest.of("model", "name the model to explain; the catalogue lists them")
    if any(key in question for key in ("target", "top_k", "contrast", "link", "references")):
        request.target.CopyFrom(_target(question))
    _fill(request, question, "id", "seed")
    if any(key in question for key in ("max_evaluations", "tolerance", "allow_partial")):
        _fill(request.budget, question, "max_evaluations", "tolerance", "allow_partial")
        request.budget.SetInParent()
    if question.get("baseline") is not None:
        request.baseline.CopyFrom(baseline(question["baseline"]))
    return request


def _metrics(wanted: Iterable[str] | Mapping[str, Mapping[str, Any]]) -> list[Metric]:
    found = []
    known = Metric.DESCRIPTOR.fields_by_name
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in known:
            raise InvalidRequest.of("metrics", f"{name!r} is unknown; {hint(str(name), known)}")
        message = getattr(metric := Metric(), name)
        message.SetInParent()
        fill(message, (wanted[name] or {}) if isinstance(wanted, Mapping) else {}, f"metrics.{name}")
        found.append(metric)
    return found


def _fill(message: Message, question: Question, *names: str) -> None:
    """Copy the arguments that are given to the fields of the same name."""
    for name in names:
        value = question.get(name)
        if value is not None:
            try:
                setattr(message, name, value)
            except (TypeError, ValueError) as error:
                raise InvalidRequest.of(name, str(error)) from None


def _several(value: Any) -> Sequence:
    """One thing or several: one becomes a list of one."""
    return [value] if isinstance(value, str | int | np.integer | Model) else value


def _model(model: str | Model) -> types_pb2.ModelRef:
    model = Model(model) if isinstance(model, str) else model
    return types_pb2.ModelRef(name=model.name, version=model.version)


def _class(value: ClassLike) -> types_pb2.ClassRef:
    try:
        return types_pb2.ClassRef(label=value) if isinstance(value, str) else types_pb2.ClassRef(index=value)
    except (TypeError, ValueError) as error:
        raise InvalidRequest.of("target", f"a class is an index or a label: {error}") from None


def _target(question: Question) -> types_pb2.Target:
    target = types_pb2.Target(
        classes=[_class(c) for c in _several(question.get("target", ()))],
        contrast=[_class(c) for c in _several(question.get("contrast", ()))],
        link=_link(question.get("link")),
        references=embeddings(question.get("references", {})),
    )
    _fill(target, question, "top_k")
    return target


def _link(word: str | None) -> types_pb2.Link:
    links = {name.removeprefix("LINK_").lower(): value for name, value in types_pb2.Link.items() if value}
    if word is not None and word not in links:
        raise InvalidRequest.of("link", f"{word!r} is unknown; {hint(word, links)}")
    return types_pb2.LINK_UNSPECIFIED if word is None else links[word]


def _outputs(wanted: Iterable[str] | None, source: Source, *, maps: bool) -> types_pb2.Outputs:
    """The outputs asked for; by default the maps, and for an image file the overlay, which only the service can place.

    Where in the image the map lies follows from the model's resize and crop, which the service knows.
    """
    if wanted is None:
        return types_pb2.Outputs(overlay=maps and source.message.HasField("image"))
    known = set(types_pb2.Outputs.DESCRIPTOR.fields_by_name)
    wanted = set(wanted)
    for name in wanted - known:
        raise InvalidRequest.of("outputs", f"{name!r} is unknown; {hint(name, known)}")
    return types_pb2.Outputs(**{name: name in wanted for name in known})
