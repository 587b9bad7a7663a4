from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MaskPreset(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_PRESET_UNSPECIFIED: _ClassVar[MaskPreset]
    MASK_PRESET_IMAGE_CNN: _ClassVar[MaskPreset]
    MASK_PRESET_IMAGE_VIT: _ClassVar[MaskPreset]
    MASK_PRESET_TEXT: _ClassVar[MaskPreset]

class MaskEvidence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_EVIDENCE_UNSPECIFIED: _ClassVar[MaskEvidence]
    MASK_EVIDENCE_SOFTMAX: _ClassVar[MaskEvidence]
    MASK_EVIDENCE_SIGMOID: _ClassVar[MaskEvidence]
    MASK_EVIDENCE_MIXED: _ClassVar[MaskEvidence]

class Comprehensiveness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPREHENSIVENESS_UNSPECIFIED: _ClassVar[Comprehensiveness]
    COMPREHENSIVENESS_LOG_COMPLEMENT: _ClassVar[Comprehensiveness]
    COMPREHENSIVENESS_LOG_RATIO: _ClassVar[Comprehensiveness]

class MaskKernel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_KERNEL_UNSPECIFIED: _ClassVar[MaskKernel]
    MASK_KERNEL_SIGMA: _ClassVar[MaskKernel]
    MASK_KERNEL_SIGMA_SQUARED: _ClassVar[MaskKernel]

class MaskOptimiser(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_OPTIMISER_UNSPECIFIED: _ClassVar[MaskOptimiser]
    MASK_OPTIMISER_ADAM: _ClassVar[MaskOptimiser]
    MASK_OPTIMISER_ADAMW: _ClassVar[MaskOptimiser]

class MaskRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_RULE_UNSPECIFIED: _ClassVar[MaskRule]
    MASK_RULE_DECREASE: _ClassVar[MaskRule]
    MASK_RULE_PERIODIC: _ClassVar[MaskRule]
    MASK_RULE_NEVER: _ClassVar[MaskRule]
MASK_PRESET_UNSPECIFIED: MaskPreset
MASK_PRESET_IMAGE_CNN: MaskPreset
MASK_PRESET_IMAGE_VIT: MaskPreset
MASK_PRESET_TEXT: MaskPreset
MASK_EVIDENCE_UNSPECIFIED: MaskEvidence
MASK_EVIDENCE_SOFTMAX: MaskEvidence
MASK_EVIDENCE_SIGMOID: MaskEvidence
MASK_EVIDENCE_MIXED: MaskEvidence
COMPREHENSIVENESS_UNSPECIFIED: Comprehensiveness
COMPREHENSIVENESS_LOG_COMPLEMENT: Comprehensiveness
COMPREHENSIVENESS_LOG_RATIO: Comprehensiveness
MASK_KERNEL_UNSPECIFIED: MaskKernel
MASK_KERNEL_SIGMA: MaskKernel
MASK_KERNEL_SIGMA_SQUARED: MaskKernel
MASK_OPTIMISER_UNSPECIFIED: MaskOptimiser
MASK_OPTIMISER_ADAM: MaskOptimiser
MASK_OPTIMISER_ADAMW: MaskOptimiser
MASK_RULE_UNSPECIFIED: MaskRule
MASK_RULE_DECREASE: MaskRule
MASK_RULE_PERIODIC: MaskRule
MASK_RULE_NEVER: MaskRule

class MaskOptimisation(_message.Message):
    __slots__ = ("preset", "evidence", "comprehensiveness", "kernel", "size_weight", "sigma_weight", "variation_weight", "w", "sigma", "sigma_low", "sigma_high", "optimiser", "rate", "steps", "rule", "least_steps", "every", "settled", "snap", "noise", "cell", "span_threshold", "span_share", "span_count")
    PRESET_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    COMPREHENSIVENESS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    SIZE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIGMA_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    VARIATION_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    W_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    SIGMA_LOW_FIELD_NUMBER: _ClassVar[int]
    SIGMA_HIGH_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    LEAST_STEPS_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    SNAP_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    SPAN_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SPAN_SHARE_FIELD_NUMBER: _ClassVar[int]
    SPAN_COUNT_FIELD_NUMBER: _ClassVar[int]
    preset: MaskPreset
    evidence: MaskEvidence
    comprehensiveness: Comprehensiveness
    kernel: MaskKernel
    size_weight: float
    sigma_weight: float
    variation_weight: float
    w: float
    sigma: float
    sigma_low: float
    sigma_high: float
    optimiser: MaskOptimiser
    rate: float
    steps: int
    rule: MaskRule
    least_steps: int
    every: int
    settled: float
    snap: float
    noise: float
    cell: int
    span_threshold: float
    span_share: float
    span_count: int
    def __init__(self, preset: _Optional[_Union[MaskPreset, str]] = ..., evidence: _Optional[_Union[MaskEvidence, str]] = ..., comprehensiveness: _Optional[_Union[Comprehensiveness, str]] = ..., kernel: _Optional[_Union[MaskKernel, str]] = ..., size_weight: _Optional[float] = ..., sigma_weight: _Optional[float] = ..., variation_weight: _Optional[float] = ..., w: _Optional[float] = ..., sigma: _Optional[float] = ..., sigma_low: _Optional[float] = ..., sigma_high: _Optional[float] = ..., optimiser: _Optional[_Union[MaskOptimiser, str]] = ..., rate: _Optional[float] = ..., steps: _Optional[int] = ..., rule: _Optional[_Union[MaskRule, str]] = ..., least_steps: _Optional[int] = ..., every: _Optional[int] = ..., settled: _Optional[float] = ..., snap: _Optional[float] = ..., noise: _Optional[float] = ..., cell: _Optional[int] = ..., span_threshold: _Optional[float] = ..., span_share: _Optional[float] = ..., span_count: _Optional[int] = ...) -> None: ...

class MaskSearch(_message.Message):
    __slots__ = ("segmentation", "segments", "labels", "evidence", "comprehensiveness", "size_weight", "sigma_weight", "variation_weight", "generations", "population", "span_threshold", "span_share", "span_count")
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    COMPREHENSIVENESS_FIELD_NUMBER: _ClassVar[int]
    SIZE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIGMA_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    VARIATION_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    POPULATION_FIELD_NUMBER: _ClassVar[int]
    SPAN_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SPAN_SHARE_FIELD_NUMBER: _ClassVar[int]
    SPAN_COUNT_FIELD_NUMBER: _ClassVar[int]
    segmentation: _types_pb2.Segmentation
    segments: int
    labels: _types_pb2.Tensor
    evidence: MaskEvidence
    comprehensiveness: Comprehensiveness
    size_weight: float
    sigma_weight: float
    variation_weight: float
    generations: int
    population: int
    span_threshold: float
    span_share: float
    span_count: int
    def __init__(self, segmentation: _Optional[_Union[_types_pb2.Segmentation, str]] = ..., segments: _Optional[int] = ..., labels: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., evidence: _Optional[_Union[MaskEvidence, str]] = ..., comprehensiveness: _Optional[_Union[Comprehensiveness, str]] = ..., size_weight: _Optional[float] = ..., sigma_weight: _Optional[float] = ..., variation_weight: _Optional[float] = ..., generations: _Optional[int] = ..., population: _Optional[int] = ..., span_threshold: _Optional[float] = ..., span_share: _Optional[float] = ..., span_count: _Optional[int] = ...) -> None: ...
