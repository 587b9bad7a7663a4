import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from sidelight_proto.v1 import catalogue_pb2 as _catalogue_pb2
from sidelight_proto.v1 import intervention_pb2 as _intervention_pb2
from sidelight_proto.v1 import mask_pb2 as _mask_pb2
from sidelight_proto.v1 import metrics_pb2 as _metrics_pb2
from sidelight_proto.v1 import path_pb2 as _path_pb2
from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Rise(_message.Message):
    __slots__ = ("masks", "cells", "keep")
    MASKS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    masks: int
    cells: int
    keep: float
    def __init__(self, masks: _Optional[int] = ..., cells: _Optional[int] = ..., keep: _Optional[float] = ...) -> None: ...

class Perturbation(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "smoothing", "sigma", "sampler", "samples", "keep", "calculator", "kernel_width", "ridge", "map_type")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    CALCULATOR_FIELD_NUMBER: _ClassVar[int]
    KERNEL_WIDTH_FIELD_NUMBER: _ClassVar[int]
    RIDGE_FIELD_NUMBER: _ClassVar[int]
    MAP_TYPE_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    smoothing: _types_pb2.Smoothing
    sigma: float
    sampler: _types_pb2.Sampler
    samples: int
    keep: float
    calculator: _types_pb2.Calculator
    kernel_width: float
    ridge: float
    map_type: _types_pb2.MapType
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., smoothing: _Optional[_Union[_types_pb2.Smoothing, str]] = ..., sigma: _Optional[float] = ..., sampler: _Optional[_Union[_types_pb2.Sampler, str]] = ..., samples: _Optional[int] = ..., keep: _Optional[float] = ..., calculator: _Optional[_Union[_types_pb2.Calculator, str]] = ..., kernel_width: _Optional[float] = ..., ridge: _Optional[float] = ..., map_type: _Optional[_Union[_types_pb2.MapType, str]] = ...) -> None: ...

class Lime(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "samples", "kernel_width", "ridge")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    KERNEL_WIDTH_FIELD_NUMBER: _ClassVar[int]
    RIDGE_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    samples: int
    kernel_width: float
    ridge: float
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., samples: _Optional[int] = ..., kernel_width: _Optional[float] = ..., ridge: _Optional[float] = ...) -> None: ...

class KernelShap(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "samples")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    samples: int
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., samples: _Optional[int] = ...) -> None: ...

class Occlusion(_message.Message):
    __slots__ = ("segmentation", "segments", "labels")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Ciu(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "inverse")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    INVERSE_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    inverse: bool
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., inverse: _Optional[bool] = ...) -> None: ...

class Pda(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "samples", "form")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    samples: int
    form: _types_pb2.PdaForm
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., samples: _Optional[int] = ..., form: _Optional[_Union[_types_pb2.PdaForm, str]] = ...) -> None: ...

class Sobol(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "samples")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    samples: int
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., samples: _Optional[int] = ...) -> None: ...

class Hsic(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "samples")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    samples: int
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., samples: _Optional[int] = ...) -> None: ...

class Given(_message.Message):
    __slots__ = ("map",)
    MAP_FIELD_NUMBER: _ClassVar[int]
    map: _types_pb2.Tensor
    def __init__(self, map: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("id", "models", "input", "target", "baseline", "rise", "perturbation", "lime", "kernel_shap", "occlusion", "ciu", "pda", "sobol", "hsic", "given", "path_attribution", "integrated_gradients", "grad_cam", "layer_cam", "compare", "mask_optimisation", "mask_search", "interventional", "seed", "budget", "outputs", "metrics")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    RISE_FIELD_NUMBER: _ClassVar[int]
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    LIME_FIELD_NUMBER: _ClassVar[int]
    KERNEL_SHAP_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    CIU_FIELD_NUMBER: _ClassVar[int]
    PDA_FIELD_NUMBER: _ClassVar[int]
    SOBOL_FIELD_NUMBER: _ClassVar[int]
    HSIC_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    PATH_ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    LAYER_CAM_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    MASK_OPTIMISATION_FIELD_NUMBER: _ClassVar[int]
    MASK_SEARCH_FIELD_NUMBER: _ClassVar[int]
    INTERVENTIONAL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    id: str
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelRef]
    input: _types_pb2.Input
    target: _types_pb2.Target
    baseline: _types_pb2.Baseline
    rise: Rise
    perturbation: Perturbation
    lime: Lime
    kernel_shap: KernelShap
    occlusion: Occlusion
    ciu: Ciu
    pda: Pda
    sobol: Sobol
    hsic: Hsic
    given: Given
    path_attribution: _path_pb2.PathAttribution
    integrated_gradients: _path_pb2.IntegratedGradients
    grad_cam: _path_pb2.GradCam
    layer_cam: _path_pb2.LayerCam
    compare: _path_pb2.Compare
    mask_optimisation: _mask_pb2.MaskOptimisation
    mask_search: _mask_pb2.MaskSearch
    interventional: _intervention_pb2.Interventional
    seed: int
    budget: _types_pb2.Budget
    outputs: _types_pb2.Outputs
    metrics: _containers.RepeatedCompositeFieldContainer[_metrics_pb2.Metric]
    def __init__(self, id: _Optional[str] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelRef, _Mapping]]] = ..., input: _Optional[_Union[_types_pb2.Input, _Mapping]] = ..., target: _Optional[_Union[_types_pb2.Target, _Mapping]] = ..., baseline: _Optional[_Union[_types_pb2.Baseline, _Mapping]] = ..., rise: _Optional[_Union[Rise, _Mapping]] = ..., perturbation: _Optional[_Union[Perturbation, _Mapping]] = ..., lime: _Optional[_Union[Lime, _Mapping]] = ..., kernel_shap: _Optional[_Union[KernelShap, _Mapping]] = ..., occlusion: _Optional[_Union[Occlusion, _Mapping]] = ..., ciu: _Optional[_Union[Ciu, _Mapping]] = ..., pda: _Optional[_Union[Pda, _Mapping]] = ..., sobol: _Optional[_Union[Sobol, _Mapping]] = ..., hsic: _Optional[_Union[Hsic, _Mapping]] = ..., given: _Optional[_Union[Given, _Mapping]] = ..., path_attribution: _Optional[_Union[_path_pb2.PathAttribution, _Mapping]] = ..., integrated_gradients: _Optional[_Union[_path_pb2.IntegratedGradients, _Mapping]] = ..., grad_cam: _Optional[_Union[_path_pb2.GradCam, _Mapping]] = ..., layer_cam: _Optional[_Union[_path_pb2.LayerCam, _Mapping]] = ..., compare: _Optional[_Union[_path_pb2.Compare, _Mapping]] = ..., mask_optimisation: _Optional[_Union[_mask_pb2.MaskOptimisation, _Mapping]] = ..., mask_search: _Optional[_Union[_mask_pb2.MaskSearch, _Mapping]] = ..., interventional: _Optional[_Union[_intervention_pb2.Interventional, _Mapping]] = ..., seed: _Optional[int] = ..., budget: _Optional[_Union[_types_pb2.Budget, _Mapping]] = ..., outputs: _Optional[_Union[_types_pb2.Outputs, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[_metrics_pb2.Metric, _Mapping]]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("id", "results", "resolved", "input_sha256", "method", "timing", "service_version", "warnings", "input_size")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    SERVICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    INPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    id: str
    results: _containers.RepeatedCompositeFieldContainer[_types_pb2.Result]
    resolved: ExplainRequest
    input_sha256: str
    method: str
    timing: _types_pb2.Timing
    service_version: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    input_size: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id: _Optional[str] = ..., results: _Optional[_Iterable[_Union[_types_pb2.Result, _Mapping]]] = ..., resolved: _Optional[_Union[ExplainRequest, _Mapping]] = ..., input_sha256: _Optional[str] = ..., method: _Optional[str] = ..., timing: _Optional[_Union[_types_pb2.Timing, _Mapping]] = ..., service_version: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., input_size: _Optional[_Iterable[int]] = ...) -> None: ...

class ExplainStreamRequest(_message.Message):
    __slots__ = ("explanation", "preview_interval")
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    explanation: ExplainRequest
    preview_interval: _duration_pb2.Duration
    def __init__(self, explanation: _Optional[_Union[ExplainRequest, _Mapping]] = ..., preview_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("id", "estimate", "seed")
    ID_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    id: str
    estimate: EstimateCostResponse
    seed: int
    def __init__(self, id: _Optional[str] = ..., estimate: _Optional[_Union[EstimateCostResponse, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("evaluations_done", "evaluations_expected", "elapsed", "previews", "queued", "relative_standard_error", "edits_done", "edits_expected")
    EVALUATIONS_DONE_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    PREVIEWS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    EDITS_DONE_FIELD_NUMBER: _ClassVar[int]
    EDITS_EXPECTED_FIELD_NUMBER: _ClassVar[int]
    evaluations_done: int
    evaluations_expected: int
    elapsed: _duration_pb2.Duration
    previews: _containers.RepeatedCompositeFieldContainer[_types_pb2.Tensor]
    queued: bool
    relative_standard_error: float
    edits_done: int
    edits_expected: int
    def __init__(self, evaluations_done: _Optional[int] = ..., evaluations_expected: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., previews: _Optional[_Iterable[_Union[_types_pb2.Tensor, _Mapping]]] = ..., queued: _Optional[bool] = ..., relative_standard_error: _Optional[float] = ..., edits_done: _Optional[int] = ..., edits_expected: _Optional[int] = ...) -> None: ...

class TensorChunk(_message.Message):
    __slots__ = ("chunk_id", "offset", "data")
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    chunk_id: int
    offset: int
    data: bytes
    def __init__(self, chunk_id: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ExplainStreamResponse(_message.Message):
    __slots__ = ("accepted", "progress", "chunk", "result")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    progress: Progress
    chunk: TensorChunk
    result: ExplainResponse
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., chunk: _Optional[_Union[TensorChunk, _Mapping]] = ..., result: _Optional[_Union[ExplainResponse, _Mapping]] = ...) -> None: ...

class EstimateCostRequest(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: ExplainRequest
    def __init__(self, explanation: _Optional[_Union[ExplainRequest, _Mapping]] = ...) -> None: ...

class EstimateCostResponse(_message.Message):
    __slots__ = ("evaluations", "edits", "expected", "expected_with_queue", "baseline")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    EDITS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WITH_QUEUE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    evaluations: int
    edits: int
    expected: _duration_pb2.Duration
    expected_with_queue: _duration_pb2.Duration
    baseline: _types_pb2.Baseline
    def __init__(self, evaluations: _Optional[int] = ..., edits: _Optional[int] = ..., expected: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expected_with_queue: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., baseline: _Optional[_Union[_types_pb2.Baseline, _Mapping]] = ...) -> None: ...

class GetCatalogueRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetCatalogueResponse(_message.Message):
    __slots__ = ("service_version", "methods", "models", "editors", "metrics", "limits")
    SERVICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    EDITORS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    service_version: str
    methods: _containers.RepeatedCompositeFieldContainer[_catalogue_pb2.MethodEntry]
    models: _containers.RepeatedCompositeFieldContainer[_catalogue_pb2.ModelEntry]
    editors: _containers.RepeatedCompositeFieldContainer[_catalogue_pb2.PluginEntry]
    metrics: _containers.RepeatedCompositeFieldContainer[_catalogue_pb2.PluginEntry]
    limits: _catalogue_pb2.Limits
    def __init__(self, service_version: _Optional[str] = ..., methods: _Optional[_Iterable[_Union[_catalogue_pb2.MethodEntry, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_catalogue_pb2.ModelEntry, _Mapping]]] = ..., editors: _Optional[_Iterable[_Union[_catalogue_pb2.PluginEntry, _Mapping]]] = ..., metrics: _Optional[_Iterable[_Union[_catalogue_pb2.PluginEntry, _Mapping]]] = ..., limits: _Optional[_Union[_catalogue_pb2.Limits, _Mapping]] = ...) -> None: ...
