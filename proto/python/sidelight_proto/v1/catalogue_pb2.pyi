import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ParameterEntry(_message.Message):
    __slots__ = ("name", "type", "default", "low", "high", "open", "description", "choices", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    default: str
    low: float
    high: float
    open: bool
    description: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterEntry]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., default: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., open: _Optional[bool] = ..., description: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Iterable[_Union[ParameterEntry, _Mapping]]] = ...) -> None: ...

class DefaultBaseline(_message.Message):
    __slots__ = ("modality", "baseline")
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    modality: str
    baseline: _types_pb2.Baseline
    def __init__(self, modality: _Optional[str] = ..., baseline: _Optional[_Union[_types_pb2.Baseline, _Mapping]] = ...) -> None: ...

class MethodEntry(_message.Message):
    __slots__ = ("name", "summary", "paper", "needs", "parameters", "available", "unavailable_reason", "baselines")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    PAPER_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    paper: str
    needs: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterEntry]
    available: bool
    unavailable_reason: str
    baselines: _containers.RepeatedCompositeFieldContainer[DefaultBaseline]
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., paper: _Optional[str] = ..., needs: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Iterable[_Union[ParameterEntry, _Mapping]]] = ..., available: _Optional[bool] = ..., unavailable_reason: _Optional[str] = ..., baselines: _Optional[_Iterable[_Union[DefaultBaseline, _Mapping]]] = ...) -> None: ...

class PluginEntry(_message.Message):
    __slots__ = ("name", "summary", "available", "unavailable_reason", "parameters", "paper", "configured")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PAPER_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    available: bool
    unavailable_reason: str
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterEntry]
    paper: str
    configured: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., available: _Optional[bool] = ..., unavailable_reason: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[ParameterEntry, _Mapping]]] = ..., paper: _Optional[str] = ..., configured: _Optional[_Iterable[str]] = ...) -> None: ...

class TensorEntry(_message.Message):
    __slots__ = ("name", "datatype", "shape", "layout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    layout: str
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., layout: _Optional[str] = ...) -> None: ...

class Determinism(_message.Message):
    __slots__ = ("neighbour_gap", "repeat_gap", "rows_per_second", "batch_rows", "tile_rows")
    NEIGHBOUR_GAP_FIELD_NUMBER: _ClassVar[int]
    REPEAT_GAP_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    TILE_ROWS_FIELD_NUMBER: _ClassVar[int]
    neighbour_gap: float
    repeat_gap: float
    rows_per_second: float
    batch_rows: int
    tile_rows: int
    def __init__(self, neighbour_gap: _Optional[float] = ..., repeat_gap: _Optional[float] = ..., rows_per_second: _Optional[float] = ..., batch_rows: _Optional[int] = ..., tile_rows: _Optional[int] = ...) -> None: ...

class LayerEntry(_message.Message):
    __slots__ = ("name", "shape", "cut")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    cut: bool
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., cut: _Optional[bool] = ...) -> None: ...

class TwinEntry(_message.Message):
    __slots__ = ("verified", "reason", "gap", "digest", "layers")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    reason: str
    gap: float
    digest: str
    layers: _containers.RepeatedCompositeFieldContainer[LayerEntry]
    def __init__(self, verified: _Optional[bool] = ..., reason: _Optional[str] = ..., gap: _Optional[float] = ..., digest: _Optional[str] = ..., layers: _Optional[_Iterable[_Union[LayerEntry, _Mapping]]] = ...) -> None: ...

class ModelEntry(_message.Message):
    __slots__ = ("name", "versions", "modality", "executor", "endpoint", "shares_production", "inputs", "outputs", "output_kind", "labels", "classes", "ready", "reason", "determinism", "twin", "shared_memory", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    SHARES_PRODUCTION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETERMINISM_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    SHARED_MEMORY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    modality: str
    executor: _types_pb2.Executor
    endpoint: str
    shares_production: bool
    inputs: _containers.RepeatedCompositeFieldContainer[TensorEntry]
    outputs: _containers.RepeatedCompositeFieldContainer[TensorEntry]
    output_kind: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    classes: int
    ready: bool
    reason: str
    determinism: Determinism
    twin: TwinEntry
    shared_memory: str
    size: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., modality: _Optional[str] = ..., executor: _Optional[_Union[_types_pb2.Executor, str]] = ..., endpoint: _Optional[str] = ..., shares_production: _Optional[bool] = ..., inputs: _Optional[_Iterable[_Union[TensorEntry, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[TensorEntry, _Mapping]]] = ..., output_kind: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., classes: _Optional[int] = ..., ready: _Optional[bool] = ..., reason: _Optional[str] = ..., determinism: _Optional[_Union[Determinism, _Mapping]] = ..., twin: _Optional[_Union[TwinEntry, _Mapping]] = ..., shared_memory: _Optional[str] = ..., size: _Optional[_Iterable[int]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_request_bytes", "max_image_pixels", "max_response_bytes", "max_requests", "max_duration", "max_text_characters", "max_targets")
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_TARGETS_FIELD_NUMBER: _ClassVar[int]
    max_request_bytes: int
    max_image_pixels: int
    max_response_bytes: int
    max_requests: int
    max_duration: _duration_pb2.Duration
    max_text_characters: int
    max_targets: int
    def __init__(self, max_request_bytes: _Optional[int] = ..., max_image_pixels: _Optional[int] = ..., max_response_bytes: _Optional[int] = ..., max_requests: _Optional[int] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_text_characters: _Optional[int] = ..., max_targets: _Optional[int] = ...) -> None: ...
