"""What this service offers, as the catalogue's messages."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from sidelight_proto.v1 import catalogue_pb2, types_pb2
from sidelight_proto.v1.explanation_pb2 import GetCatalogueRequest, GetCatalogueResponse

import sidelight
from sidelight.core import metric, registry
from sidelight.core.ask import Forward
from sidelight.core.editor import kinds
from sidelight.core.params import kind_of
from sidelight.core.predictor import ModelSpec, TensorSpec
from sidelight.engine.engine import Engine
from sidelight.rpc.baselines import asked_baseline
from sidelight.rpc.encode import UNARY_BYTES, executor
from sidelight.rpc.roster import Offer, Roster, State
from sidelight.rpc.sources import Limits
from sidelight.rpc.studio import Studio

MODALITIES = ("image", "text", "tokens")


@dataclass(frozen=True)
class Static:
    """What the configuration fixed; bytes and seconds."""

    limits: Limits
    max_request_bytes: int
    max_requests: int
    max_duration: float


def catalogue(
    request: GetCatalogueRequest, roster: Roster, studio: Studio, engine: Engine, static: Static
) -> GetCatalogueResponse:
    """Everything, or one model. Raises Unknown for a model that is not configured."""
    states = [roster.find(request.model)] if request.HasField("model") else roster.states()
    limits = catalogue_pb2.Limits(
        max_request_bytes=static.max_request_bytes,
        max_image_pixels=static.limits.max_image_pixels,
        max_response_bytes=UNARY_BYTES,
        max_requests=static.max_requests,
        max_text_characters=static.limits.max_text_characters,
        max_targets=static.limits.max_targets,
    )
    limits.max_duration.FromNanoseconds(round(static.max_duration * 1e9))
    return GetCatalogueResponse(
        service_version=sidelight.__version__,
        methods=[*map(_method, registry.methods().values()), *_absent_methods()],
        models=[_model(state, engine) for state in states],
        editors=_editors(studio),
        metrics=[*map(_metric, metric.metrics().values())],
        limits=limits,
    )


def _method(method: registry.Method) -> catalogue_pb2.MethodEntry:
    return catalogue_pb2.MethodEntry(
        name=method.name,
        summary=method.summary,
        paper=method.paper,
        needs=method.needs,
        parameters=_parameters(method.params),
        available=True,
        baselines=_baselines(method),
    )


def _baselines(method: registry.Method) -> list[catalogue_pb2.DefaultBaseline]:
    """The method's own defaults, under its default parameters."""
    params, none = method.params(), types_pb2.Baseline()
    found = {modality: asked_baseline(none, method, params, modality) for modality in MODALITIES}
    return [catalogue_pb2.DefaultBaseline(modality=m, baseline=b) for m, b in found.items() if b.WhichOneof("kind")]


def _absent_methods() -> list[catalogue_pb2.MethodEntry]:
    return [
        catalogue_pb2.MethodEntry(name=name, available=False, unavailable_reason=reason)
        for name, reason in registry.absent().items()
    ]


def _parameter(field: dataclasses.Field) -> catalogue_pb2.ParameterEntry:
    default = field.default.value if isinstance(field.default, Enum) else field.default
    if isinstance(default, tuple):
        default = ", ".join(v.value if isinstance(v, Enum) else str(v) for v in default)
    kind = kind_of(field)
    choices = field.metadata["one_of"]() if kind == "one of" else (m.value for m in field.metadata.get("choices", ()))
    return catalogue_pb2.ParameterEntry(
        name=field.name,
        type=kind,
        default="" if default is None or kind == "picture" else str(default),
        low=field.metadata.get("low"),
        high=field.metadata.get("high"),
        open=field.metadata.get("open", False),
        description=field.metadata["what"],
        choices=choices,
        parameters=_parameters(field.metadata["records"]) if kind == "records" else (),
    )


def _parameters(kind: type) -> list[catalogue_pb2.ParameterEntry]:
    return [_parameter(f) for f in dataclasses.fields(kind)]


def _metric(found: metric.Metric) -> catalogue_pb2.PluginEntry:
    parameters = _parameters(found.params)
    return catalogue_pb2.PluginEntry(name=found.name, summary=found.summary, available=True, parameters=parameters)


def _editors(studio: Studio) -> Iterator[catalogue_pb2.PluginEntry]:
    """The kinds of editors; one that needs weights is there where at least one of it can be asked."""
    for name, several in groupby(studio.states(), key=lambda state: state.kind):
        states = list(several)
        kind = kinds().get(name)
        there = [state for state in states if state.editor is not None]
        reasons = dict.fromkeys(state.reason for state in states if state.editor is None)
        yield catalogue_pb2.PluginEntry(
            name=name,
            summary=kind.summary if kind else "",
            paper=kind.paper if kind else "",
            available=bool(there),
            unavailable_reason="" if there else "; ".join(reasons),
            parameters=_parameters(kind.params) if kind else (),
            configured=[state.name for state in there] if kind and kind.weights else (),
        )


def _model(state: State, engine: Engine) -> catalogue_pb2.ModelEntry:
    entry = catalogue_pb2.ModelEntry(
        name=state.name, versions=state.versions, ready=state.ready, reason="" if state.ready else state.reason
    )
    offer, predictor = state.offer, state.predictor
    if offer is not None:
        predictor = offer.rows_by(offer.model(offer.spec.version))
    if predictor is not None:
        endpoint = predictor.endpoint
        entry.executor = executor(endpoint.executor)
        entry.endpoint = endpoint.address
        entry.shares_production = endpoint.shares_production
        entry.shared_memory = endpoint.shared_memory
    if offer is not None and predictor is not None:
        spec, probe = offer.spec, offer.probe
        _describe(entry, spec)
        entry.twin.CopyFrom(_twin(offer))
        rate = engine.seconds_per_row(Forward(offer.model(spec.version)))
        entry.classes = spec.classes or probe.classes
        entry.determinism.neighbour_gap = probe.neighbour_gap
        entry.determinism.repeat_gap = probe.repeat_gap
        entry.determinism.rows_per_second = 1 / rate if rate else 0.0
        entry.determinism.batch_rows = predictor.batch_rows
        entry.determinism.tile_rows = predictor.tile_rows
    return entry


def _twin(offer: Offer) -> catalogue_pb2.TwinEntry:
    if offer.twin is None:
        return catalogue_pb2.TwinEntry(reason=offer.twin_reason)
    return catalogue_pb2.TwinEntry(
        verified=True,
        reason=offer.twin.note,
        gap=offer.twin.gap,
        digest=offer.twin.digest,
        layers=[catalogue_pb2.LayerEntry(name=x.name, shape=x.shape, cut=x.cut) for x in offer.twin.layers],
    )


def _describe(entry: catalogue_pb2.ModelEntry, spec: ModelSpec) -> None:
    image = spec.modality == "image"
    entry.modality = spec.modality
    entry.inputs.append(_tensor(spec.input, spec.pixels.layout if image else ""))
    entry.outputs.append(_tensor(spec.output, ""))
    entry.output_kind = spec.kind.value
    entry.labels.extend(spec.labels)
    entry.size.extend(spec.fit.size or () if image else ())


def _tensor(spec: TensorSpec, layout: str) -> catalogue_pb2.TensorEntry:
    return catalogue_pb2.TensorEntry(name=spec.name, datatype=spec.datatype, shape=spec.shape, layout=layout)
