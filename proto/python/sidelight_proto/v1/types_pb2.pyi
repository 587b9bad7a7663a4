import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Link(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINK_UNSPECIFIED: _ClassVar[Link]
    LINK_AS_SERVED: _ClassVar[Link]
    LINK_LOGIT: _ClassVar[Link]
    LINK_PROBABILITY: _ClassVar[Link]
    LINK_LOG_PROBABILITY: _ClassVar[Link]
    LINK_LOG_COMPLEMENT: _ClassVar[Link]
    LINK_SIGMOID: _ClassVar[Link]
    LINK_LOG_SIGMOID: _ClassVar[Link]
    LINK_LOG_SIGMOID_COMPLEMENT: _ClassVar[Link]
    LINK_COSINE: _ClassVar[Link]

class Segmentation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEGMENTATION_UNSPECIFIED: _ClassVar[Segmentation]
    SEGMENTATION_GRID: _ClassVar[Segmentation]
    SEGMENTATION_SLIC: _ClassVar[Segmentation]
    SEGMENTATION_FELZENSZWALB: _ClassVar[Segmentation]
    SEGMENTATION_QUICKSHIFT: _ClassVar[Segmentation]
    SEGMENTATION_WATERSHED: _ClassVar[Segmentation]
    SEGMENTATION_LABELS: _ClassVar[Segmentation]
    SEGMENTATION_WORD: _ClassVar[Segmentation]
    SEGMENTATION_SENTENCE: _ClassVar[Segmentation]
    SEGMENTATION_TOKEN: _ClassVar[Segmentation]

class Smoothing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SMOOTHING_UNSPECIFIED: _ClassVar[Smoothing]
    SMOOTHING_NONE: _ClassVar[Smoothing]
    SMOOTHING_BILINEAR: _ClassVar[Smoothing]
    SMOOTHING_GAUSSIAN: _ClassVar[Smoothing]
    SMOOTHING_RANDOM_SHIFT: _ClassVar[Smoothing]

class Sampler(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLER_UNSPECIFIED: _ClassVar[Sampler]
    SAMPLER_BERNOULLI: _ClassVar[Sampler]
    SAMPLER_ONE_OFF: _ClassVar[Sampler]
    SAMPLER_ONE_ON: _ClassVar[Sampler]
    SAMPLER_COALITIONS: _ClassVar[Sampler]
    SAMPLER_RATE: _ClassVar[Sampler]
    SAMPLER_ANTITHETIC: _ClassVar[Sampler]
    SAMPLER_KERNEL_PAIRS: _ClassVar[Sampler]
    SAMPLER_ORTHOGONAL: _ClassVar[Sampler]
    SAMPLER_SOBOL_PAIRS: _ClassVar[Sampler]
    SAMPLER_SPACE_FILLING: _ClassVar[Sampler]

class Calculator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALCULATOR_UNSPECIFIED: _ClassVar[Calculator]
    CALCULATOR_RISE: _ClassVar[Calculator]
    CALCULATOR_LIME: _ClassVar[Calculator]
    CALCULATOR_SHAP: _ClassVar[Calculator]
    CALCULATOR_PDA: _ClassVar[Calculator]
    CALCULATOR_PDA_INFORMATION: _ClassVar[Calculator]
    CALCULATOR_PDA_EVIDENCE: _ClassVar[Calculator]
    CALCULATOR_CIU: _ClassVar[Calculator]
    CALCULATOR_INVERSE_CIU: _ClassVar[Calculator]
    CALCULATOR_SOBOL: _ClassVar[Calculator]
    CALCULATOR_HSIC: _ClassVar[Calculator]

class MapType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_TYPE_UNSPECIFIED: _ClassVar[MapType]
    MAP_TYPE_PER_PIXEL: _ClassVar[MapType]
    MAP_TYPE_PER_SEGMENT: _ClassVar[MapType]

class PdaForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PDA_FORM_UNSPECIFIED: _ClassVar[PdaForm]
    PDA_FORM_DIFFERENCE: _ClassVar[PdaForm]
    PDA_FORM_INFORMATION: _ClassVar[PdaForm]
    PDA_FORM_EVIDENCE: _ClassVar[PdaForm]

class Replacement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLACEMENT_UNSPECIFIED: _ClassVar[Replacement]
    REPLACEMENT_IMAGE_MEAN: _ClassVar[Replacement]
    REPLACEMENT_BLUR: _ClassVar[Replacement]
    REPLACEMENT_MODEL_MEAN: _ClassVar[Replacement]
    REPLACEMENT_REQUEST: _ClassVar[Replacement]

class Executor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTOR_UNSPECIFIED: _ClassVar[Executor]
    EXECUTOR_TRITON: _ClassVar[Executor]
    EXECUTOR_TRITON_EXPLANATION: _ClassVar[Executor]
    EXECUTOR_EMBEDDED: _ClassVar[Executor]
    EXECUTOR_TWIN: _ClassVar[Executor]

class Resolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOLUTION_UNSPECIFIED: _ClassVar[Resolution]
    RESOLUTION_METHOD: _ClassVar[Resolution]
    RESOLUTION_INPUT: _ClassVar[Resolution]

class MapKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_KIND_UNSPECIFIED: _ClassVar[MapKind]
    MAP_KIND_ATTRIBUTION: _ClassVar[MapKind]
    MAP_KIND_STANDARD_ERROR: _ClassVar[MapKind]

class StopReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_REASON_UNSPECIFIED: _ClassVar[StopReason]
    STOP_REASON_COMPLETE: _ClassVar[StopReason]
    STOP_REASON_MAX_EVALUATIONS: _ClassVar[StopReason]
    STOP_REASON_TOLERANCE: _ClassVar[StopReason]
    STOP_REASON_DEADLINE: _ClassVar[StopReason]

class Attribution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTRIBUTION_UNSPECIFIED: _ClassVar[Attribution]
    ATTRIBUTION_GRADIENT: _ClassVar[Attribution]
    ATTRIBUTION_GRADIENT_X_ACTIVATION: _ClassVar[Attribution]
    ATTRIBUTION_TAYLOR: _ClassVar[Attribution]
    ATTRIBUTION_TAYLOR_SECOND_ORDER: _ClassVar[Attribution]
    ATTRIBUTION_MIDPOINT: _ClassVar[Attribution]
    ATTRIBUTION_INTEGRATED_GRADIENTS: _ClassVar[Attribution]
    ATTRIBUTION_EXPECTED_GRADIENTS: _ClassVar[Attribution]
    ATTRIBUTION_GRAD_CAM: _ClassVar[Attribution]
    ATTRIBUTION_LAYER_CAM: _ClassVar[Attribution]
    ATTRIBUTION_ODAM: _ClassVar[Attribution]
    ATTRIBUTION_DIFFERENCE_MAP: _ClassVar[Attribution]
LINK_UNSPECIFIED: Link
LINK_AS_SERVED: Link
LINK_LOGIT: Link
LINK_PROBABILITY: Link
LINK_LOG_PROBABILITY: Link
LINK_LOG_COMPLEMENT: Link
LINK_SIGMOID: Link
LINK_LOG_SIGMOID: Link
LINK_LOG_SIGMOID_COMPLEMENT: Link
LINK_COSINE: Link
SEGMENTATION_UNSPECIFIED: Segmentation
SEGMENTATION_GRID: Segmentation
SEGMENTATION_SLIC: Segmentation
SEGMENTATION_FELZENSZWALB: Segmentation
SEGMENTATION_QUICKSHIFT: Segmentation
SEGMENTATION_WATERSHED: Segmentation
SEGMENTATION_LABELS: Segmentation
SEGMENTATION_WORD: Segmentation
SEGMENTATION_SENTENCE: Segmentation
SEGMENTATION_TOKEN: Segmentation
SMOOTHING_UNSPECIFIED: Smoothing
SMOOTHING_NONE: Smoothing
SMOOTHING_BILINEAR: Smoothing
SMOOTHING_GAUSSIAN: Smoothing
SMOOTHING_RANDOM_SHIFT: Smoothing
SAMPLER_UNSPECIFIED: Sampler
SAMPLER_BERNOULLI: Sampler
SAMPLER_ONE_OFF: Sampler
SAMPLER_ONE_ON: Sampler
SAMPLER_COALITIONS: Sampler
SAMPLER_RATE: Sampler
SAMPLER_ANTITHETIC: Sampler
SAMPLER_KERNEL_PAIRS: Sampler
SAMPLER_ORTHOGONAL: Sampler
SAMPLER_SOBOL_PAIRS: Sampler
SAMPLER_SPACE_FILLING: Sampler
CALCULATOR_UNSPECIFIED: Calculator
CALCULATOR_RISE: Calculator
CALCULATOR_LIME: Calculator
CALCULATOR_SHAP: Calculator
CALCULATOR_PDA: Calculator
CALCULATOR_PDA_INFORMATION: Calculator
CALCULATOR_PDA_EVIDENCE: Calculator
CALCULATOR_CIU: Calculator
CALCULATOR_INVERSE_CIU: Calculator
CALCULATOR_SOBOL: Calculator
CALCULATOR_HSIC: Calculator
MAP_TYPE_UNSPECIFIED: MapType
MAP_TYPE_PER_PIXEL: MapType
MAP_TYPE_PER_SEGMENT: MapType
PDA_FORM_UNSPECIFIED: PdaForm
PDA_FORM_DIFFERENCE: PdaForm
PDA_FORM_INFORMATION: PdaForm
PDA_FORM_EVIDENCE: PdaForm
REPLACEMENT_UNSPECIFIED: Replacement
REPLACEMENT_IMAGE_MEAN: Replacement
REPLACEMENT_BLUR: Replacement
REPLACEMENT_MODEL_MEAN: Replacement
REPLACEMENT_REQUEST: Replacement
EXECUTOR_UNSPECIFIED: Executor
EXECUTOR_TRITON: Executor
EXECUTOR_TRITON_EXPLANATION: Executor
EXECUTOR_EMBEDDED: Executor
EXECUTOR_TWIN: Executor
RESOLUTION_UNSPECIFIED: Resolution
RESOLUTION_METHOD: Resolution
RESOLUTION_INPUT: Resolution
MAP_KIND_UNSPECIFIED: MapKind
MAP_KIND_ATTRIBUTION: MapKind
MAP_KIND_STANDARD_ERROR: MapKind
STOP_REASON_UNSPECIFIED: StopReason
STOP_REASON_COMPLETE: StopReason
STOP_REASON_MAX_EVALUATIONS: StopReason
STOP_REASON_TOLERANCE: StopReason
STOP_REASON_DEADLINE: StopReason
ATTRIBUTION_UNSPECIFIED: Attribution
ATTRIBUTION_GRADIENT: Attribution
ATTRIBUTION_GRADIENT_X_ACTIVATION: Attribution
ATTRIBUTION_TAYLOR: Attribution
ATTRIBUTION_TAYLOR_SECOND_ORDER: Attribution
ATTRIBUTION_MIDPOINT: Attribution
ATTRIBUTION_INTEGRATED_GRADIENTS: Attribution
ATTRIBUTION_EXPECTED_GRADIENTS: Attribution
ATTRIBUTION_GRAD_CAM: Attribution
ATTRIBUTION_LAYER_CAM: Attribution
ATTRIBUTION_ODAM: Attribution
ATTRIBUTION_DIFFERENCE_MAP: Attribution

class ModelRef(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("name", "datatype", "shape", "axes", "contents", "chunk_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    axes: _containers.RepeatedScalarFieldContainer[str]
    contents: bytes
    chunk_id: int
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., axes: _Optional[_Iterable[str]] = ..., contents: _Optional[bytes] = ..., chunk_id: _Optional[int] = ...) -> None: ...

class ImageSeries(_message.Message):
    __slots__ = ("images", "strengths", "unit")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    STRENGTHS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    strengths: _containers.RepeatedScalarFieldContainer[float]
    unit: str
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., strengths: _Optional[_Iterable[float]] = ..., unit: _Optional[str] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("image", "tensor", "text", "series")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    tensor: Tensor
    text: str
    series: ImageSeries
    def __init__(self, image: _Optional[bytes] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., text: _Optional[str] = ..., series: _Optional[_Union[ImageSeries, _Mapping]] = ...) -> None: ...

class ClassRef(_message.Message):
    __slots__ = ("index", "label")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("classes", "top_k", "contrast", "link", "references")
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    classes: _containers.RepeatedCompositeFieldContainer[ClassRef]
    top_k: int
    contrast: _containers.RepeatedCompositeFieldContainer[ClassRef]
    link: Link
    references: _containers.RepeatedCompositeFieldContainer[Embedding]
    def __init__(self, classes: _Optional[_Iterable[_Union[ClassRef, _Mapping]]] = ..., top_k: _Optional[int] = ..., contrast: _Optional[_Iterable[_Union[ClassRef, _Mapping]]] = ..., link: _Optional[_Union[Link, str]] = ..., references: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ...) -> None: ...

class ModelMeanBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConstantBaseline(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, value: _Optional[_Iterable[float]] = ...) -> None: ...

class ImageMeanBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BlurBaseline(_message.Message):
    __slots__ = ("sigma",)
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    sigma: float
    def __init__(self, sigma: _Optional[float] = ...) -> None: ...

class NoiseBaseline(_message.Message):
    __slots__ = ("mean", "sd")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    SD_FIELD_NUMBER: _ClassVar[int]
    mean: float
    sd: float
    def __init__(self, mean: _Optional[float] = ..., sd: _Optional[float] = ...) -> None: ...

class ImageBaseline(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    def __init__(self, image: _Optional[bytes] = ...) -> None: ...

class TextBaseline(_message.Message):
    __slots__ = ("replacement",)
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    replacement: str
    def __init__(self, replacement: _Optional[str] = ...) -> None: ...

class ImageMedianBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HistogramBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RandomColourBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SegmentMeanBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InpaintingBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Baseline(_message.Message):
    __slots__ = ("model_mean", "constant", "image_mean", "blur", "noise", "image", "text", "image_median", "histogram", "random_colour", "segment_mean", "inpainting", "reference_mean", "feature_zero", "feature_mean", "neutral", "distribution")
    MODEL_MEAN_FIELD_NUMBER: _ClassVar[int]
    CONSTANT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_MEAN_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_MEDIAN_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAM_FIELD_NUMBER: _ClassVar[int]
    RANDOM_COLOUR_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_MEAN_FIELD_NUMBER: _ClassVar[int]
    INPAINTING_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MEAN_FIELD_NUMBER: _ClassVar[int]
    FEATURE_ZERO_FIELD_NUMBER: _ClassVar[int]
    FEATURE_MEAN_FIELD_NUMBER: _ClassVar[int]
    NEUTRAL_FIELD_NUMBER: _ClassVar[int]
    DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    model_mean: ModelMeanBaseline
    constant: ConstantBaseline
    image_mean: ImageMeanBaseline
    blur: BlurBaseline
    noise: NoiseBaseline
    image: ImageBaseline
    text: TextBaseline
    image_median: ImageMedianBaseline
    histogram: HistogramBaseline
    random_colour: RandomColourBaseline
    segment_mean: SegmentMeanBaseline
    inpainting: InpaintingBaseline
    reference_mean: ReferenceMeanBaseline
    feature_zero: FeatureZeroBaseline
    feature_mean: FeatureMeanBaseline
    neutral: NeutralBaseline
    distribution: DistributionBaseline
    def __init__(self, model_mean: _Optional[_Union[ModelMeanBaseline, _Mapping]] = ..., constant: _Optional[_Union[ConstantBaseline, _Mapping]] = ..., image_mean: _Optional[_Union[ImageMeanBaseline, _Mapping]] = ..., blur: _Optional[_Union[BlurBaseline, _Mapping]] = ..., noise: _Optional[_Union[NoiseBaseline, _Mapping]] = ..., image: _Optional[_Union[ImageBaseline, _Mapping]] = ..., text: _Optional[_Union[TextBaseline, _Mapping]] = ..., image_median: _Optional[_Union[ImageMedianBaseline, _Mapping]] = ..., histogram: _Optional[_Union[HistogramBaseline, _Mapping]] = ..., random_colour: _Optional[_Union[RandomColourBaseline, _Mapping]] = ..., segment_mean: _Optional[_Union[SegmentMeanBaseline, _Mapping]] = ..., inpainting: _Optional[_Union[InpaintingBaseline, _Mapping]] = ..., reference_mean: _Optional[_Union[ReferenceMeanBaseline, _Mapping]] = ..., feature_zero: _Optional[_Union[FeatureZeroBaseline, _Mapping]] = ..., feature_mean: _Optional[_Union[FeatureMeanBaseline, _Mapping]] = ..., neutral: _Optional[_Union[NeutralBaseline, _Mapping]] = ..., distribution: _Optional[_Union[DistributionBaseline, _Mapping]] = ...) -> None: ...

class ReferenceMeanBaseline(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, images: _Optional[_Iterable[bytes]] = ...) -> None: ...

class FeatureZeroBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FeatureMeanBaseline(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, images: _Optional[_Iterable[bytes]] = ...) -> None: ...

class NeutralBaseline(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DistributionBaseline(_message.Message):
    __slots__ = ("baselines",)
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    baselines: _containers.RepeatedCompositeFieldContainer[Baseline]
    def __init__(self, baselines: _Optional[_Iterable[_Union[Baseline, _Mapping]]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("max_evaluations", "tolerance", "allow_partial")
    MAX_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    max_evaluations: int
    tolerance: float
    allow_partial: bool
    def __init__(self, max_evaluations: _Optional[int] = ..., tolerance: _Optional[float] = ..., allow_partial: _Optional[bool] = ...) -> None: ...

class Outputs(_message.Message):
    __slots__ = ("map", "standard_error", "map_at_input", "overlay", "segments", "features")
    MAP_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    MAP_AT_INPUT_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    map: bool
    standard_error: bool
    map_at_input: bool
    overlay: bool
    segments: bool
    features: bool
    def __init__(self, map: _Optional[bool] = ..., standard_error: _Optional[bool] = ..., map_at_input: _Optional[bool] = ..., overlay: _Optional[bool] = ..., segments: _Optional[bool] = ..., features: _Optional[bool] = ...) -> None: ...

class Map(_message.Message):
    __slots__ = ("kind", "resolution", "tensor")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    kind: MapKind
    resolution: Resolution
    tensor: Tensor
    def __init__(self, kind: _Optional[_Union[MapKind, str]] = ..., resolution: _Optional[_Union[Resolution, str]] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class UnitScore(_message.Message):
    __slots__ = ("name", "score", "standard_error", "begin", "end")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    name: str
    score: float
    standard_error: float
    begin: int
    end: int
    def __init__(self, name: _Optional[str] = ..., score: _Optional[float] = ..., standard_error: _Optional[float] = ..., begin: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class ClassScore(_message.Message):
    __slots__ = ("index", "label", "value")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    value: float
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class ResolvedTarget(_message.Message):
    __slots__ = ("instance", "contrast", "link", "scale", "references")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    instance: ClassScore
    contrast: _containers.RepeatedCompositeFieldContainer[ClassScore]
    link: Link
    scale: str
    references: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance: _Optional[_Union[ClassScore, _Mapping]] = ..., contrast: _Optional[_Iterable[_Union[ClassScore, _Mapping]]] = ..., link: _Optional[_Union[Link, str]] = ..., scale: _Optional[str] = ..., references: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelProvenance(_message.Message):
    __slots__ = ("model", "executor", "platform", "digest", "precision", "twin_gap", "repeatable")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    TWIN_GAP_FIELD_NUMBER: _ClassVar[int]
    REPEATABLE_FIELD_NUMBER: _ClassVar[int]
    model: ModelRef
    executor: Executor
    platform: str
    digest: str
    precision: str
    twin_gap: float
    repeatable: bool
    def __init__(self, model: _Optional[_Union[ModelRef, _Mapping]] = ..., executor: _Optional[_Union[Executor, str]] = ..., platform: _Optional[str] = ..., digest: _Optional[str] = ..., precision: _Optional[str] = ..., twin_gap: _Optional[float] = ..., repeatable: _Optional[bool] = ...) -> None: ...

class MetricValue(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class MetricCurve(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class MetricResult(_message.Message):
    __slots__ = ("name", "values", "curves", "replacement", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedCompositeFieldContainer[MetricValue]
    curves: _containers.RepeatedCompositeFieldContainer[MetricCurve]
    replacement: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[_Union[MetricValue, _Mapping]]] = ..., curves: _Optional[_Iterable[_Union[MetricCurve, _Mapping]]] = ..., replacement: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DisplayStep(_message.Message):
    __slots__ = ("name", "result", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    result: float
    error: float
    def __init__(self, name: _Optional[str] = ..., result: _Optional[float] = ..., error: _Optional[float] = ...) -> None: ...

class ErrorPart(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class AttributionResult(_message.Message):
    __slots__ = ("attribution", "baseline", "rule", "output_value", "baseline_output_value", "target", "result", "error", "error_relative", "parts", "steps", "residual", "indicator", "converged", "evaluations", "features", "map", "baseline_output_values")
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_VALUE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_OUTPUT_VALUE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERROR_RELATIVE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RESIDUAL_FIELD_NUMBER: _ClassVar[int]
    INDICATOR_FIELD_NUMBER: _ClassVar[int]
    CONVERGED_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    BASELINE_OUTPUT_VALUES_FIELD_NUMBER: _ClassVar[int]
    attribution: Attribution
    baseline: str
    rule: str
    output_value: float
    baseline_output_value: float
    target: float
    result: float
    error: float
    error_relative: float
    parts: _containers.RepeatedCompositeFieldContainer[ErrorPart]
    steps: _containers.RepeatedCompositeFieldContainer[DisplayStep]
    residual: float
    indicator: float
    converged: bool
    evaluations: int
    features: _containers.RepeatedCompositeFieldContainer[Tensor]
    map: Tensor
    baseline_output_values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, attribution: _Optional[_Union[Attribution, str]] = ..., baseline: _Optional[str] = ..., rule: _Optional[str] = ..., output_value: _Optional[float] = ..., baseline_output_value: _Optional[float] = ..., target: _Optional[float] = ..., result: _Optional[float] = ..., error: _Optional[float] = ..., error_relative: _Optional[float] = ..., parts: _Optional[_Iterable[_Union[ErrorPart, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[DisplayStep, _Mapping]]] = ..., residual: _Optional[float] = ..., indicator: _Optional[float] = ..., converged: _Optional[bool] = ..., evaluations: _Optional[int] = ..., features: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., map: _Optional[_Union[Tensor, _Mapping]] = ..., baseline_output_values: _Optional[_Iterable[float]] = ...) -> None: ...

class Rationale(_message.Message):
    __slots__ = ("begin", "end", "score")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    begin: int
    end: int
    score: float
    def __init__(self, begin: _Optional[int] = ..., end: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class OptimisedMask(_message.Message):
    __slots__ = ("terms", "objective", "kept", "removed", "mean", "step", "settled", "gradient_free", "rationales", "w", "sigma")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FREE_FIELD_NUMBER: _ClassVar[int]
    RATIONALES_FIELD_NUMBER: _ClassVar[int]
    W_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[Tensor]
    objective: float
    kept: float
    removed: float
    mean: float
    step: int
    settled: bool
    gradient_free: bool
    rationales: _containers.RepeatedCompositeFieldContainer[Rationale]
    w: Tensor
    sigma: Tensor
    def __init__(self, terms: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., objective: _Optional[float] = ..., kept: _Optional[float] = ..., removed: _Optional[float] = ..., mean: _Optional[float] = ..., step: _Optional[int] = ..., settled: _Optional[bool] = ..., gradient_free: _Optional[bool] = ..., rationales: _Optional[_Iterable[_Union[Rationale, _Mapping]]] = ..., w: _Optional[_Union[Tensor, _Mapping]] = ..., sigma: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class SignificanceTest(_message.Message):
    __slots__ = ("permutations", "p_value", "p_value_raw", "p_value_corrected", "significant", "null_mean", "null_low", "null_high")
    PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_RAW_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_CORRECTED_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANT_FIELD_NUMBER: _ClassVar[int]
    NULL_MEAN_FIELD_NUMBER: _ClassVar[int]
    NULL_LOW_FIELD_NUMBER: _ClassVar[int]
    NULL_HIGH_FIELD_NUMBER: _ClassVar[int]
    permutations: int
    p_value: float
    p_value_raw: float
    p_value_corrected: float
    significant: bool
    null_mean: float
    null_low: float
    null_high: float
    def __init__(self, permutations: _Optional[int] = ..., p_value: _Optional[float] = ..., p_value_raw: _Optional[float] = ..., p_value_corrected: _Optional[float] = ..., significant: _Optional[bool] = ..., null_mean: _Optional[float] = ..., null_low: _Optional[float] = ..., null_high: _Optional[float] = ...) -> None: ...

class DependenceResult(_message.Message):
    __slots__ = ("name", "value", "p_value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    p_value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., p_value: _Optional[float] = ...) -> None: ...

class ClassCurve(_message.Message):
    __slots__ = ("index", "label", "values")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("index", "strength", "png")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    index: int
    strength: float
    png: bytes
    def __init__(self, index: _Optional[int] = ..., strength: _Optional[float] = ..., png: _Optional[bytes] = ...) -> None: ...

class Intervention(_message.Message):
    __slots__ = ("editor", "editor_digest", "unit", "count", "strengths", "outputs", "score", "score_with_original", "estimated", "total_variation", "signed_mean", "gradient", "reconstruction_shift", "significance", "dependence", "flips", "flips_at", "top", "classes", "pixel_distance", "structural_similarity", "frames", "strengths_saved")
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    EDITOR_DIGEST_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    STRENGTHS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SCORE_WITH_ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_VARIATION_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MEAN_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_SHIFT_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANCE_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCE_FIELD_NUMBER: _ClassVar[int]
    FLIPS_FIELD_NUMBER: _ClassVar[int]
    FLIPS_AT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    PIXEL_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    STRUCTURAL_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    STRENGTHS_SAVED_FIELD_NUMBER: _ClassVar[int]
    editor: str
    editor_digest: str
    unit: str
    count: int
    strengths: _containers.RepeatedScalarFieldContainer[float]
    outputs: _containers.RepeatedScalarFieldContainer[float]
    score: float
    score_with_original: float
    estimated: bool
    total_variation: float
    signed_mean: float
    gradient: float
    reconstruction_shift: float
    significance: SignificanceTest
    dependence: _containers.RepeatedCompositeFieldContainer[DependenceResult]
    flips: int
    flips_at: float
    top: _containers.RepeatedScalarFieldContainer[int]
    classes: _containers.RepeatedCompositeFieldContainer[ClassCurve]
    pixel_distance: _containers.RepeatedScalarFieldContainer[float]
    structural_similarity: _containers.RepeatedScalarFieldContainer[float]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    strengths_saved: int
    def __init__(self, editor: _Optional[str] = ..., editor_digest: _Optional[str] = ..., unit: _Optional[str] = ..., count: _Optional[int] = ..., strengths: _Optional[_Iterable[float]] = ..., outputs: _Optional[_Iterable[float]] = ..., score: _Optional[float] = ..., score_with_original: _Optional[float] = ..., estimated: _Optional[bool] = ..., total_variation: _Optional[float] = ..., signed_mean: _Optional[float] = ..., gradient: _Optional[float] = ..., reconstruction_shift: _Optional[float] = ..., significance: _Optional[_Union[SignificanceTest, _Mapping]] = ..., dependence: _Optional[_Iterable[_Union[DependenceResult, _Mapping]]] = ..., flips: _Optional[int] = ..., flips_at: _Optional[float] = ..., top: _Optional[_Iterable[int]] = ..., classes: _Optional[_Iterable[_Union[ClassCurve, _Mapping]]] = ..., pixel_distance: _Optional[_Iterable[float]] = ..., structural_similarity: _Optional[_Iterable[float]] = ..., frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ..., strengths_saved: _Optional[int] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("model", "target", "property", "maps", "units", "overlay_png", "baseline_output_value", "instance_output_value", "attribution_error", "attribution_error_relative", "evaluations", "edits", "rows_done", "stop_reason", "converged", "relative_standard_error", "warnings", "top_classes", "top_classes_scale", "labels", "metrics", "attributions", "rest", "optimised", "intervention")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PROPERTY_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_PNG_FIELD_NUMBER: _ClassVar[int]
    BASELINE_OUTPUT_VALUE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_OUTPUT_VALUE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_ERROR_RELATIVE_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    EDITS_FIELD_NUMBER: _ClassVar[int]
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    CONVERGED_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TOP_CLASSES_FIELD_NUMBER: _ClassVar[int]
    TOP_CLASSES_SCALE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    OPTIMISED_FIELD_NUMBER: _ClassVar[int]
    INTERVENTION_FIELD_NUMBER: _ClassVar[int]
    model: ModelProvenance
    target: ResolvedTarget
    property: str
    maps: _containers.RepeatedCompositeFieldContainer[Map]
    units: _containers.RepeatedCompositeFieldContainer[UnitScore]
    overlay_png: bytes
    baseline_output_value: float
    instance_output_value: float
    attribution_error: float
    attribution_error_relative: float
    evaluations: int
    edits: int
    rows_done: int
    stop_reason: StopReason
    converged: bool
    relative_standard_error: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    top_classes: _containers.RepeatedCompositeFieldContainer[ClassScore]
    top_classes_scale: str
    labels: Tensor
    metrics: _containers.RepeatedCompositeFieldContainer[MetricResult]
    attributions: _containers.RepeatedCompositeFieldContainer[AttributionResult]
    rest: float
    optimised: OptimisedMask
    intervention: Intervention
    def __init__(self, model: _Optional[_Union[ModelProvenance, _Mapping]] = ..., target: _Optional[_Union[ResolvedTarget, _Mapping]] = ..., property: _Optional[str] = ..., maps: _Optional[_Iterable[_Union[Map, _Mapping]]] = ..., units: _Optional[_Iterable[_Union[UnitScore, _Mapping]]] = ..., overlay_png: _Optional[bytes] = ..., baseline_output_value: _Optional[float] = ..., instance_output_value: _Optional[float] = ..., attribution_error: _Optional[float] = ..., attribution_error_relative: _Optional[float] = ..., evaluations: _Optional[int] = ..., edits: _Optional[int] = ..., rows_done: _Optional[int] = ..., stop_reason: _Optional[_Union[StopReason, str]] = ..., converged: _Optional[bool] = ..., relative_standard_error: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ..., top_classes: _Optional[_Iterable[_Union[ClassScore, _Mapping]]] = ..., top_classes_scale: _Optional[str] = ..., labels: _Optional[_Union[Tensor, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[MetricResult, _Mapping]]] = ..., attributions: _Optional[_Iterable[_Union[AttributionResult, _Mapping]]] = ..., rest: _Optional[float] = ..., optimised: _Optional[_Union[OptimisedMask, _Mapping]] = ..., intervention: _Optional[_Union[Intervention, _Mapping]] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queue", "edit", "infer", "fold", "total")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    INFER_FIELD_NUMBER: _ClassVar[int]
    FOLD_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    queue: _duration_pb2.Duration
    edit: _duration_pb2.Duration
    infer: _duration_pb2.Duration
    fold: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, queue: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., edit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., infer: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., fold: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
