"""Requests to the domain, strictly: every wrong field is named, with what would do."""

import math
import secrets
from dataclasses import dataclass
from typing import Any

from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest

from sidelight.core import metric, registry
from sidelight.core.ask import Model
from sidelight.core.errors import InvalidRequest, SidelightError
from sidelight.core.inputs import ImageInput, Input, TextInput
from sidelight.core.job import Job
from sidelight.core.metric import Metric
from sidelight.core.predictor import ModelSpec
from sidelight.core.registry import Method
from sidelight.core.stream import Stream
from sidelight.predictors.fit import Geometry
from sidelight.rpc.baselines import asked_baseline, check_baseline, resolved_baseline
from sidelight.rpc.canvas import canvas, fitting
from sidelight.rpc.interventions import (
    Intervention,
    check_editable,
    check_series,
    interventions,
    refuse_maps,
)
from sidelight.rpc.parameters import decode_parameters, placed
from sidelight.rpc.roster import Offer, Roster
from sidelight.rpc.series import decode_series
from sidelight.rpc.sources import Encoded, Limits, Pixels, Placed, Source, decode_source
from sidelight.rpc.studio import Studio
from sidelight.rpc.targets import TargetQuestion, decode_target
from sidelight.rpc.violations import Violations

MAX_ID = 128
MAX_MODELS = 16
MAX_METRICS = 16
MAX_SCORES = 20_000  # of words, in one answer: they come in one message
SEED_BITS = 53  # a drawn seed survives any JSON


@dataclass(frozen=True, eq=False)
class Part:
    """The question to one model."""

    offer: Offer
    spec: ModelSpec
    job: Job
    target: TargetQuestion
    where: Geometry | None
    params: Any  # of the method, their tensors at this model's resolution
    metrics: tuple[tuple[Metric, Any], ...]  # with their parameters, likewise

    def asked(self, method: Method) -> Model:
        """Who gets the method's rows."""
        return self.job.differentiable if "gradient" in method.needs else self.job.model

    def rows(self, method: Method, most: int | None) -> int:
        """Model evaluations expected: the method's, at most so many, those of the metrics, the input and baseline."""
        own = method.cost(self.params, self.job.input)
        if method.apart:
            own *= self.target.most * (1 + len(self.job.others))
        own = own if most is None else min(own, most)
        shape = self.job.input.shape
        measured = sum(m.cost(p, shape, self.target.most) + own * m.reruns(p) for m, p in self.metrics)
        both = 2 if method.maps else 1  # the input, and its baseline
        ends = 4 if getattr(self.job.input, "from_segments", "") else both  # again over the baseline that is made
        if self.asked(method).variant:
            ends += both + 2 * len(self.job.others)  # of the twin; each further baseline on both
            ends += isinstance(self.job.input, TextInput) and getattr(self.job.twin, "ids", None) is not None
        return ends + own + measured


@dataclass(frozen=True)
class Outputs:
    """What the answer should hold."""

    map: bool
    standard_error: bool
    map_at_input: bool
    overlay: bool
    segments: bool
    features: bool


@dataclass(frozen=True, eq=False)
class Question:
    """A request that was found right."""

    request: ExplainRequest
    baseline: types_pb2.Baseline  # the request's, or the method's own
    id: str
    source: Source
    parts: tuple[Part, ...]
    method: Method
    seed: int
    max_evaluations: int | None
    tolerance: float | None
    allow_partial: bool
    outputs: Outputs
    interventions: tuple[Intervention, ...] = ()

    @property
    def said_baseline(self) -> types_pb2.Baseline | None:
        """The baseline with all that it leaves to the models' inputs filled in; None where the method has none."""
        if not self.method.maps:
            return None
        return resolved_baseline(self.baseline, [part.job.input for part in self.parts])

    @property
    def edits(self) -> int:
        """Image edits expected, at most."""
        return sum(one.most for one in self.interventions)

    @property
    def rows(self) -> int:
        """Model evaluations expected, of all models together."""
        return sum(part.rows(self.method, self.max_evaluations) for part in self.parts)


def decode(
    request: ExplainRequest, roster: Roster, limits: Limits, name: str = "", studio: Studio | None = None
) -> Question:
    """Check the whole request, called `name` where it has no id. Slow (images, endpoints): never on the event loop.

    studio: the editors, which methods that intervene need.
    Raises InvalidRequest naming all fields that could be told wrong at once; Unknown, Unsupported or Unavailable for
    what the models and methods here cannot do.
    """
    wrong = Violations()
    with wrong.gathered():
        method, params = _method(request)
    with wrong.gathered():
        metrics = _metrics(request)
    _common(request, wrong)
    offers = _models(request, roster, wrong)
    if not method.maps:
        refuse_maps(request, method, wrong)
    outputs = _outputs(request, method)
    wrong.settle()
    check_baseline(request.baseline, method)
    specs = [_spec(offer, ref) for offer, ref in offers]
    baseline = asked_baseline(request.baseline, method, params, specs[0].modality)
    edits = "edit" in method.needs
    if edits:
        check_editable(request, method, specs)
    source = _source(request, limits, series=edits)
    seed = request.seed if request.HasField("seed") else secrets.randbits(SEED_BITS)
    stream = Stream(seed)
    tolerance = request.budget.tolerance if request.budget.HasField("tolerance") else None
    asked = []
    for (offer, _), spec in zip(offers, specs, strict=True):
        with wrong.gathered():
            target = decode_target(request.target, spec, spec.classes or _probed(offer, spec), limits.max_targets)
        with wrong.gathered():
            found = source.made_for(spec, baseline, stream, limits)
        wrong.settle()
        _answerable(outputs, found, target.most, wrong)
        wrong.settle()
        if "gradient" in method.needs:
            offer.need_twin(spec.version, method)
        asked.append((offer, spec, target, found))
    edited: tuple[Intervention, ...] = ()
    if edits:
        assert studio is not None and isinstance(source, Encoded | Pixels)  # as `check_editable` saw to
        check_series(source, method.name, params)
        on = canvas(source, specs)
        params, edited = interventions(params, on, stream.child("edit"), studio, limits, method.name)
    sequences = tuple(one.edits for one in edited)
    parts = []
    for offer, spec, target, found in asked:
        job = Job(
            offer.model(spec.version),
            found.input,
            target.pending,
            stream,
            tolerance,
            others=found.others,
            at_layer=found.at_layer,
            twin=offer.twin_of(spec.version),
            sequences=sequences,
            fit=fitting(source, spec) if isinstance(source, Encoded | Pixels) else None,
        )
        chosen = placed(params, found.input, found.where, method.name)
        _makes_baseline(method, found.input, request)
        method.check(chosen, job)
        chosen = method.settle(chosen, job)
        measured = tuple(
            (m, placed(p, found.input, found.where, f"metrics[{i}].{m.name}")) for i, (m, p) in enumerate(metrics)
        )
        for i, (m, p) in enumerate(measured):
            _check_metric(i, m, p, found.input)
        parts.append(Part(offer, spec, job, target, found.where, chosen, measured))
    if (results := sum(part.target.most for part in parts) * max(1, len(edited))) > limits.max_targets:
        raise InvalidRequest(
            "target", f"at most {limits.max_targets} results, of all models and properties together, not {results}"
        )
    return Question(
        request=request,
        baseline=baseline,
        id=request.id or name,
        source=source,
        parts=tuple(parts),
        method=method,
        seed=seed,
        max_evaluations=request.budget.max_evaluations if request.budget.HasField("max_evaluations") else None,
        tolerance=tolerance,
        allow_partial=request.budget.allow_partial,
        outputs=outputs,
        interventions=edited,
    )


def _source(request: ExplainRequest, limits: Limits, *, series: bool) -> Source:
    if request.input.WhichOneof("kind") != "series":
        return decode_source(request.input, limits)
    if not series:
        able = ", ".join(m.name for m in registry.methods().values() if "edit" in m.needs)
        raise InvalidRequest("input.series", f"is for methods that intervene ({able}); send one image")
    return decode_series(request.input, limits)


def _spec(offer: Offer, ref: types_pb2.ModelRef) -> ModelSpec:
    """The version asked for; without one the newest that was probed, which needs no question to the endpoint."""
    if not ref.HasField("version") or ref.version == offer.spec.version:
        return offer.spec
    return offer.predictor.spec(ref.version)


def _probed(offer: Offer, spec: ModelSpec) -> int:
    return offer.probe.classes if offer.spec.version == spec.version else 0


def _method(request: ExplainRequest) -> tuple[Method, Any]:
    name = request.WhichOneof("method")
    if name is None:
        known = [f.name for f in ExplainRequest.DESCRIPTOR.oneofs_by_name["method"].fields]
        raise InvalidRequest("method", f"set one of {', '.join(known)}")
    method = registry.find(name)
    return method, decode_parameters(method.params, getattr(request, name), name)


def _metrics(request: ExplainRequest) -> list[tuple[Metric, Any]]:
    if len(request.metrics) > MAX_METRICS:
        raise InvalidRequest("metrics", f"at most {MAX_METRICS}, not {len(request.metrics)}")
    found = []
    for i, message in enumerate(request.metrics):
        name = message.WhichOneof("kind")
        if name is None:
            raise InvalidRequest(f"metrics[{i}]", f"set one of {', '.join(metric.metrics())}")
        chosen = metric.find(name)
        found.append((chosen, decode_parameters(chosen.params, getattr(message, name), f"metrics[{i}].{name}")))
    return found


def _check_metric(i: int, chosen: Metric, params: Any, x: Input) -> None:
    """A metric does not know its place among those asked for; the caller does."""
    try:
        chosen.check(params, x)
    except InvalidRequest as error:
        raise InvalidRequest(error.field.replace("metrics.", f"metrics[{i}].", 1), error.mend) from error


def _makes_baseline(method: Method, x: Input, request: ExplainRequest) -> None:
    if isinstance(x, ImageInput) and x.from_segments and not method.segmented:
        able = ", ".join(m.name for m in registry.methods().values() if m.segmented)
        kind = request.baseline.WhichOneof("kind")
        raise InvalidRequest(f"baseline.{kind}", f"is made from a method's segments, which {able} have")


def _common(request: ExplainRequest, wrong: Violations) -> None:
    if len(request.id) > MAX_ID or not request.id.isprintable():
        wrong.add("id", f"at most {MAX_ID} printable characters")
    budget = request.budget
    if budget.HasField("max_evaluations") and budget.max_evaluations < 1:
        wrong.add("budget.max_evaluations", "at least 1; leave it out for the method's own number")
    if budget.HasField("tolerance") and not (math.isfinite(budget.tolerance) and 0 < budget.tolerance < 1):
        wrong.add("budget.tolerance", f"a ratio in (0, 1), not {budget.tolerance}")
    if request.input.WhichOneof("kind") is None:
        kinds = [f.name for f in types_pb2.Input.DESCRIPTOR.oneofs_by_name["kind"].fields]
        wrong.add("input", f"set one of {', '.join(kinds)}")


def _models(request: ExplainRequest, roster: Roster, wrong: Violations) -> list[tuple[Offer, types_pb2.ModelRef]]:
    """The models asked for. What is unknown or away counts only when nothing is wrong with the request itself."""
    known = ", ".join(s.name for s in roster.states())
    if not request.models:
        wrong.add("models", f"name at least one model; there is {known}")
    if len(request.models) > MAX_MODELS:
        wrong.add("models", f"at most {MAX_MODELS}, not {len(request.models)}")
    found, missing, seen = [], [], set()
    for i, ref in enumerate(request.models):
        key = (ref.name, ref.version)
        if not ref.name:
            wrong.add(f"models[{i}].name", f"name a model; there is {known}")
        elif ref.HasField("version") and not ref.version:
            wrong.add(f"models[{i}].version", "leave it out for the newest version, or name one")
        elif key in seen:
            wrong.add(f"models[{i}]", "is asked twice; name each model and version once")
        else:
            try:
                found.append((roster.ready(ref.name), ref))
            except SidelightError as error:
                missing.append(error)
        seen.add(key)
    wrong.settle()
    if missing:
        raise missing[0]
    return found


def _outputs(request: ExplainRequest, method: Method) -> Outputs:
    """What is asked for, or stands where nothing is; a method without maps has neither map nor error to leave out."""
    o = request.outputs
    return Outputs(
        map=method.maps and (o.map if o.HasField("map") else True),
        standard_error=method.maps and (o.standard_error if o.HasField("standard_error") else True),
        map_at_input=o.map_at_input,
        overlay=o.overlay,
        segments=o.segments,
        features=o.features,
    )


def _answerable(outputs: Outputs, placed: Placed, targets: int, wrong: Violations) -> None:
    if placed.where is not None:
        return
    for name in ("map_at_input", "overlay", "segments"):
        if getattr(outputs, name):
            wrong.add(f"outputs.{name}", "is for images; leave it out for text, whose scores come by word")
    if placed.input.shape[0] * targets > MAX_SCORES:
        most = MAX_SCORES // placed.input.shape[0]
        wrong.add("target", f"at most {most} classes for a text of {placed.input.shape[0]} words")
