"""Explanations to answers, complete enough to be asked for again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import singledispatch
from typing import cast

import torch
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, ExplainResponse, TensorChunk

import sidelight
from sidelight.core.effect import Interventions
from sidelight.core.errors import Exhausted
from sidelight.core.explanation import Explanation
from sidelight.core.inputs import ImageInput, Input, TextInput, TokenInput
from sidelight.core.job import Saliency, Segments
from sidelight.core.metric import Measure, Metric
from sidelight.core.sweep import Stop
from sidelight.predictors.fit import unfit
from sidelight.rpc.accounts import account_bytes, encode_account
from sidelight.rpc.decode import Part, Question
from sidelight.rpc.intervened import encode_frames, encode_intervention, intervention_bytes, intervention_warnings
from sidelight.rpc.optimised import encode_optimised, optimised_bytes, optimised_warnings, unsettled
from sidelight.rpc.overlay import overlay
from sidelight.rpc.parameters import encode_agreed, encode_parameters
from sidelight.rpc.sources import digest
from sidelight.rpc.targets import NUMBER_OF, encode_target, top_classes
from sidelight.rpc.tensors import encode_labels, encode_tensor

MIB = 1 << 20
UNARY_BYTES = 3 * MIB  # clients take 4 MiB unless told otherwise
STREAM_BYTES = 512 * MIB
CHUNK_BYTES = MIB
INLINE_BYTES = 4 << 10  # smaller tensors stay in the message that names them
OVERLAY_BYTES = 2 * MIB  # of all overlays of an answer, which come in one message
REPEATABLE = 1e-3  # largest gap, relative to the largest output, that still counts as the same answer

STOP = {
    Stop.COMPLETE: types_pb2.STOP_REASON_COMPLETE,
    Stop.MAX_EVALUATIONS: types_pb2.STOP_REASON_MAX_EVALUATIONS,
    Stop.ENOUGH: types_pb2.STOP_REASON_TOLERANCE,
    Stop.DEADLINE: types_pb2.STOP_REASON_DEADLINE,
}


@dataclass(frozen=True)
class Spent:
    """Seconds of one request."""

    queue: float
    edit: float
    infer: float
    fold: float
    total: float


def tensor_bytes(question: Question) -> int:
    """Bytes of the tensors of the answer, known before any row is asked."""
    total = 0
    for part in question.parts:
        own = math.prod(part.job.input.shape) * (question.outputs.map + question.outputs.standard_error)
        at_input = math.prod(part.where.source) if part.where and question.outputs.map_at_input else 0
        labels = 2 * math.prod(part.job.input.shape) * question.outputs.segments  # of 8 bytes each
        accounts = account_bytes(part.job, part.params, features=question.outputs.features, maps=question.outputs.map)
        optimised = optimised_bytes(part.job, part.params, features=question.outputs.features)
        series = sum(intervention_bytes(len(sequence.strengths)) for sequence in part.job.sequences)
        total += part.target.most * (4 * (own + at_input + labels) + accounts + optimised + series)
    return total


def check_size(size: int, limit: int, stream: bool) -> None:
    """Raises Exhausted for an answer of more than `limit` bytes."""
    if size > limit:
        mend = "ask for fewer `outputs` or classes" + ("" if stream else ", or call ExplainStream")
        raise Exhausted("message size", f"the answer takes {size} bytes, at most {limit} can be sent: {mend}")


def overlay_room(question: Question) -> int:
    """Bytes that the overlays or frames of a unary answer may take beside its tensors."""
    return max(MIB >> 4, min(OVERLAY_BYTES, UNARY_BYTES - tensor_bytes(question) - (MIB >> 2)))


def encode(question: Question, done: Sequence[Explanation], room: int) -> ExplainResponse:
    """The answer, but for its timing, its overlays or frames in `room` bytes.

    Slow (large maps, PNG): never on the event loop.
    """
    count = sum(len(e.instance) for e in done)
    response = ExplainResponse(
        id=question.id,
        input_sha256=digest(question.request.input),
        method=question.method.name,
        service_version=sidelight.__version__,
        input_size=question.source.size,
        warnings=[*question.source.warnings, *_shared_warnings(question)],
    )
    for part, explanation in zip(question.parts, done, strict=True):
        if isinstance(explanation.result, Interventions):
            response.results.extend(_intervened(question, part, explanation, room // len(done)))
            continue
        for t in range(len(explanation.instance)):
            response.results.append(_result(question, part, explanation, t, room // count))
    response.resolved.CopyFrom(_resolved(question, done))
    return response


def set_timing(response: ExplainResponse, spent: Spent) -> None:
    """Say where the time went."""
    for field in fields(spent):
        getattr(response.timing, field.name).FromNanoseconds(round(getattr(spent, field.name) * 1e9))


def detach(response: ExplainResponse) -> list[bytes]:
    """Take the contents of the large tensors out of `response`, which names them by their place in the list."""
    contents: list[bytes] = []
    for tensor in (t for r in response.results for t in _tensors(r)):
        if len(tensor.contents) > INLINE_BYTES:
            tensor.chunk_id = len(contents)
            contents.append(tensor.contents)
            tensor.ClearField("contents")
    return contents


def _tensors(result: types_pb2.Result) -> Iterator[types_pb2.Tensor]:
    yield from (m.tensor for m in result.maps)
    yield result.labels
    for attribution in result.attributions:
        yield from attribution.features
        yield attribution.map
    yield from result.optimised.terms
    yield result.optimised.w
    yield result.optimised.sigma


def chunks(tensors: Sequence[bytes]) -> Iterator[TensorChunk]:
    """The messages that carry what was detached."""
    for chunk_id, contents in enumerate(tensors):
        for offset in range(0, len(contents), CHUNK_BYTES):
            yield TensorChunk(chunk_id=chunk_id, offset=offset, data=contents[offset : offset + CHUNK_BYTES])


def _common(part: Part, e: Explanation, t: int) -> types_pb2.Result:
    """What the results of all methods tell, but for what is to be doubted."""
    best, scale = top_classes(part.spec, e.outputs[:1])
    return types_pb2.Result(
        model=_provenance(part, e.twin_gap),
        target=encode_target(e.job.target, t, part.target.names, part.spec, e.outputs[:1]),
        evaluations=e.evaluations,
        rows_done=e.rows_done,
        stop_reason=STOP[e.stop],
        converged=e.converged,
        top_classes=best,
        top_classes_scale=scale,
    )


def _intervened(question: Question, part: Part, e: Explanation, room: int) -> Iterator[types_pb2.Result]:
    """One for each property and target, the frames of all properties in `room` bytes."""
    responses = cast(Interventions, e.result).responses
    for response, asked in zip(responses, question.interventions, strict=True):
        frames = encode_frames(response, room // len(question.interventions))
        for t in range(len(e.instance)):
            result = _common(part, e, t)
            result.property = response.name
            result.edits = response.edits
            result.instance_output_value = e.instance[t].item()
            result.baseline_output_value = response.effects[t].outputs[0].item()
            shown = [] if t else frames  # they are the same for all targets
            result.intervention.CopyFrom(encode_intervention(response, t, part.spec, asked, shown))
            result.warnings.extend([*_uncarded(part), *intervention_warnings(response, t), *_cut_short(e)])
            yield result


def _result(question: Question, part: Part, e: Explanation, t: int, overlay_bytes: int) -> types_pb2.Result:
    wanted, saliency = question.outputs, _saliency(e)
    scores = saliency.maps[t]
    error = None if saliency.standard_error is None else saliency.standard_error[t]
    relative = None if saliency.relative_error is None else saliency.relative_error[t]
    result = _common(part, e, t)
    result.units.extend(units(e.job.input, scores, error))
    result.baseline_output_value, result.instance_output_value = _between(e, t)
    result.edits = e.edits
    if relative is not None:
        result.relative_standard_error = relative
    result.warnings.extend(_warnings(part, e, t, relative))
    result.metrics.extend(_measured(m, measure, t) for (m, _), measure in zip(part.metrics, e.measures, strict=True))
    axes = ("height", "width") if isinstance(e.job.input, ImageInput) else ("unit",)
    attribution, method = types_pb2.MAP_KIND_ATTRIBUTION, types_pb2.RESOLUTION_METHOD
    if saliency.accounts:
        accounts = saliency.accounts[t]
        own = axes if wanted.map and len(accounts) > 1 else ()
        result.attributions.extend(encode_account(a, features=wanted.features, axes=own) for a in accounts)
        if math.isfinite(accounts[0].error):
            result.attribution_error = accounts[0].error
            result.attribution_error_relative = accounts[0].error_relative
    if saliency.optimised:
        result.optimised.CopyFrom(encode_optimised(saliency.optimised[t], features=wanted.features))
        result.converged &= not unsettled(saliency.optimised[t], part.params)
    if saliency.rest is not None:
        result.rest = saliency.rest[t].item()
    if wanted.map:
        result.maps.add(kind=attribution, resolution=method, tensor=encode_tensor("map", scores, axes))
    if wanted.standard_error and error is not None:
        kind = types_pb2.MAP_KIND_STANDARD_ERROR
        result.maps.add(kind=kind, resolution=method, tensor=encode_tensor("standard_error", error, axes))
    if part.where is not None and wanted.map_at_input:
        tensor = encode_tensor("map_at_input", unfit(scores, part.where), axes)
        result.maps.add(kind=attribution, resolution=types_pb2.RESOLUTION_INPUT, tensor=tensor)
    if wanted.segments and saliency.segments is not None:
        result.units.extend(_segments(saliency.segments, t))
        result.labels.CopyFrom(encode_labels("labels", saliency.segments.labels, axes))
    if part.where is not None and wanted.overlay and question.source.photo is not None:
        result.overlay_png = overlay(scores, part.where, question.source.photo, overlay_bytes)
    return result


def _saliency(e: Explanation) -> Saliency:
    """What methods with maps come to."""
    return cast(Saliency, e.result)


def _between(e: Explanation, t: int) -> tuple[float, float]:
    """The explained number on the baseline and on the input: as the attribution had them, where it has its own."""
    accounts = _saliency(e).accounts
    if accounts and math.isfinite((first := accounts[t][0]).target):
        return first.baseline_output, first.output
    return e.baseline[t].item(), e.instance[t].item()


def _segments(segments: Segments, t: int) -> Iterator[types_pb2.UnitScore]:
    """Scores by segment."""
    for s, score in enumerate(segments.scores[t].tolist()):
        error = None if segments.standard_error is None else segments.standard_error[t, s].item()
        yield types_pb2.UnitScore(name=str(s), score=score, standard_error=error)


def _measured(metric: Metric, measure: Measure | str, t: int) -> types_pb2.MetricResult:
    if isinstance(measure, str):
        return types_pb2.MetricResult(name=metric.name, reason=measure)
    return types_pb2.MetricResult(
        name=metric.name,
        replacement=measure.replacement,
        values=[types_pb2.MetricValue(name=name, value=v[t].item()) for name, v in measure.values.items()],
        curves=[types_pb2.MetricCurve(name=name, values=c[t].tolist()) for name, c in measure.curves.items()],
    )


def _provenance(part: Part, twin_gap: float | None) -> types_pb2.ModelProvenance:
    """Of the twin where it was asked: what it is told of has its weights and its arithmetic."""
    probe, served, offer = part.offer.probe, part.spec, part.offer
    twin = offer.twin_predictor if twin_gap is not None else None
    spec = served if twin is None else twin.spec()
    return types_pb2.ModelProvenance(
        model=types_pb2.ModelRef(name=served.name, version=served.version),
        executor=executor((twin or offer.predictor).endpoint.executor),
        platform=spec.platform,
        digest=spec.digest,
        precision=spec.precision,
        twin_gap=twin_gap,
        repeatable=max(probe.repeat_gap, probe.neighbour_gap) <= REPEATABLE,
    )


def executor(name: str) -> types_pb2.Executor:
    """The protocol's number for a predictor's executor."""
    return types_pb2.Executor.Value(f"EXECUTOR_{name.upper()}")


@singledispatch
def units(x: Input, scores: torch.Tensor, error: torch.Tensor | None) -> list[types_pb2.UnitScore]:
    """The scores by word; none for an image, whose units are pixels."""
    return []


@units.register
def _(x: TextInput, scores: torch.Tensor, error: torch.Tensor | None) -> list[types_pb2.UnitScore]:
    errors = [None] * len(x.units) if error is None else error.tolist()
    return [
        types_pb2.UnitScore(name=x.word(unit), score=score, standard_error=se, begin=unit.begin, end=unit.end)
        for unit, score, se in zip(x.units, scores.tolist(), errors, strict=True)
    ]


@units.register
def _(x: TokenInput, scores: torch.Tensor, error: torch.Tensor | None) -> list[types_pb2.UnitScore]:
    errors = [None] * len(x.ids) if error is None else error.tolist()
    return [
        types_pb2.UnitScore(name=str(token), score=score, standard_error=se)
        for token, score, se in zip(x.ids.tolist(), scores.tolist(), errors, strict=True)
    ]


def _warnings(part: Part, e: Explanation, t: int, relative: float | None) -> list[str]:
    found = [*_uncarded(part)]
    if relative is not None and relative > 1:
        found.append("the map varies less than its standard error: allow more evaluations before reading it")
    b, x = _between(e, t)
    if abs(x - b) <= 1e-3 * max(abs(x), abs(b)):
        found.append(
            "the explained number is nearly the same on the input and on the baseline: there is little to explain"
        )
    for (metric, _), measure in zip(part.metrics, e.measures, strict=True):
        if isinstance(measure, str):
            found.append(f"metric {metric.name} was not measured: {measure}")
    if optimised := _saliency(e).optimised:
        found += optimised_warnings(optimised[t], e.job, part.params)
    return [*found, *_cut_short(e)]


def _uncarded(part: Part) -> Iterator[str]:
    if not part.spec.carded:
        yield "no model card: what the outputs mean is not known, and the image may be prepared wrongly"


def _cut_short(e: Explanation) -> Iterator[str]:
    if e.stop is Stop.DEADLINE:
        yield f"cut short by the deadline after {e.rows_done} rows"


def _shared_warnings(question: Question) -> Iterator[str]:
    for part in question.parts:
        if part.offer.rows_by(part.asked(question.method)).endpoint.shares_production:
            yield f"model {part.spec.name}: the rows were asked of the production endpoint, under the concurrency cap"


def _resolved(question: Question, done: Sequence[Explanation]) -> ExplainRequest:
    """The request with every default filled in, without its input and its name."""
    resolved = ExplainRequest()
    resolved.CopyFrom(question.request)
    resolved.ClearField("input")
    resolved.ClearField("id")
    for ref, part in zip(resolved.models, question.parts, strict=True):
        ref.version = part.spec.version
    _resolve_target(resolved.target, [e.job.target for e in done])
    if question.said_baseline is not None:
        resolved.baseline.CopyFrom(question.said_baseline)
    method = getattr(resolved, question.method.name)
    encode_agreed([part.params for part in question.parts], method)
    for message, (metric, params) in zip(resolved.metrics, question.parts[0].metrics, strict=True):
        encode_parameters(params, getattr(message, metric.name))
    resolved.seed = question.seed
    _resolve_budget(resolved.budget, done, rule_looks="gradient" in question.method.needs)
    for field in fields(question.outputs):
        setattr(resolved.outputs, field.name, getattr(question.outputs, field.name))
    return resolved


def _resolve_target(message: types_pb2.Target, targets: Sequence) -> None:
    """Indices and link, where all models agree on them; else the question as it was asked."""
    if len({t.link for t in targets}) == 1:
        message.link = NUMBER_OF[targets[0].link]
    if message.references:
        return
    if len({(t.classes, t.contrast) for t in targets}) == 1:
        for name in ("classes", "contrast"):
            message.ClearField(name)
            getattr(message, name).extend(types_pb2.ClassRef(index=i) for i in getattr(targets[0], name))
        message.ClearField("top_k")
    elif not message.classes and not message.HasField("top_k"):
        message.top_k = 1


def _resolve_budget(budget: types_pb2.Budget, done: Sequence[Explanation], rule_looks: bool) -> None:
    """Pin the rows of what ended early, so that the same question ends there again.

    Where a rule looks at the tolerance to place its rows, it stays.
    """
    budget.SetInParent()
    rows = {e.rows_done for e in done}
    if len(rows) > 1 or all(e.stop is Stop.COMPLETE for e in done):
        return
    budget.max_evaluations = rows.pop()
    if any(e.stop is not Stop.ENOUGH for e in done) and not rule_looks:
        # The rows decide now. A tolerance is tested after each tile, and another device may have other tiles.
        budget.ClearField("tolerance")
