from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Change(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_UNSPECIFIED: _ClassVar[Change]
    CHANGE_BRIGHTNESS: _ClassVar[Change]
    CHANGE_CONTRAST: _ClassVar[Change]
    CHANGE_HUE: _ClassVar[Change]
    CHANGE_SATURATION: _ClassVar[Change]
    CHANGE_BLUR: _ClassVar[Change]
    CHANGE_NOISE: _ClassVar[Change]
    CHANGE_JPEG: _ClassVar[Change]
    CHANGE_ROTATION: _ClassVar[Change]
    CHANGE_SCALE: _ClassVar[Change]
    CHANGE_TRANSLATION: _ClassVar[Change]
    CHANGE_OVERLAY: _ClassVar[Change]
    CHANGE_CROSSFADE: _ClassVar[Change]

class Correction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CORRECTION_UNSPECIFIED: _ClassVar[Correction]
    CORRECTION_HOLM: _ClassVar[Correction]
    CORRECTION_BENJAMINI_HOCHBERG: _ClassVar[Correction]
    CORRECTION_NONE: _ClassVar[Correction]

class Dependence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPENDENCE_UNSPECIFIED: _ClassVar[Dependence]
    DEPENDENCE_PEARSON: _ClassVar[Dependence]
    DEPENDENCE_MUTUAL_INFORMATION: _ClassVar[Dependence]
CHANGE_UNSPECIFIED: Change
CHANGE_BRIGHTNESS: Change
CHANGE_CONTRAST: Change
CHANGE_HUE: Change
CHANGE_SATURATION: Change
CHANGE_BLUR: Change
CHANGE_NOISE: Change
CHANGE_JPEG: Change
CHANGE_ROTATION: Change
CHANGE_SCALE: Change
CHANGE_TRANSLATION: Change
CHANGE_OVERLAY: Change
CHANGE_CROSSFADE: Change
CORRECTION_UNSPECIFIED: Correction
CORRECTION_HOLM: Correction
CORRECTION_BENJAMINI_HOCHBERG: Correction
CORRECTION_NONE: Correction
DEPENDENCE_UNSPECIFIED: Dependence
DEPENDENCE_PEARSON: Dependence
DEPENDENCE_MUTUAL_INFORMATION: Dependence

class Captured(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Parametric(_message.Message):
    __slots__ = ("change", "image", "mask", "fill", "angle")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    ANGLE_FIELD_NUMBER: _ClassVar[int]
    change: Change
    image: bytes
    mask: bytes
    fill: _containers.RepeatedScalarFieldContainer[float]
    angle: float
    def __init__(self, change: _Optional[_Union[Change, str]] = ..., image: _Optional[bytes] = ..., mask: _Optional[bytes] = ..., fill: _Optional[_Iterable[float]] = ..., angle: _Optional[float] = ...) -> None: ...

class InstructPix2Pix(_message.Message):
    __slots__ = ("editor", "prompt", "negative_prompt", "prompt_embeds", "negative_prompt_embeds", "image_guidance", "steps")
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_EMBEDS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_EMBEDS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    editor: str
    prompt: str
    negative_prompt: str
    prompt_embeds: _types_pb2.Tensor
    negative_prompt_embeds: _types_pb2.Tensor
    image_guidance: float
    steps: int
    def __init__(self, editor: _Optional[str] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., prompt_embeds: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., negative_prompt_embeds: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., image_guidance: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class Sdedit(_message.Message):
    __slots__ = ("editor", "prompt", "negative_prompt", "prompt_embeds", "negative_prompt_embeds", "guidance", "steps")
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_EMBEDS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_EMBEDS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    editor: str
    prompt: str
    negative_prompt: str
    prompt_embeds: _types_pb2.Tensor
    negative_prompt_embeds: _types_pb2.Tensor
    guidance: float
    steps: int
    def __init__(self, editor: _Optional[str] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., prompt_embeds: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., negative_prompt_embeds: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., guidance: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class Ledits(_message.Message):
    __slots__ = ("editor", "prompt", "reverse", "prompt_embeds", "threshold", "skip", "steps")
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_EMBEDS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    editor: str
    prompt: str
    reverse: bool
    prompt_embeds: _types_pb2.Tensor
    threshold: float
    skip: float
    steps: int
    def __init__(self, editor: _Optional[str] = ..., prompt: _Optional[str] = ..., reverse: _Optional[bool] = ..., prompt_embeds: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., threshold: _Optional[float] = ..., skip: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class Property(_message.Message):
    __slots__ = ("name", "unit", "strengths", "first", "last", "count", "captured", "parametric", "instruct_pix2pix", "sdedit", "ledits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    STRENGTHS_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIC_FIELD_NUMBER: _ClassVar[int]
    INSTRUCT_PIX2PIX_FIELD_NUMBER: _ClassVar[int]
    SDEDIT_FIELD_NUMBER: _ClassVar[int]
    LEDITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    strengths: _containers.RepeatedScalarFieldContainer[float]
    first: float
    last: float
    count: int
    captured: Captured
    parametric: Parametric
    instruct_pix2pix: InstructPix2Pix
    sdedit: Sdedit
    ledits: Ledits
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., strengths: _Optional[_Iterable[float]] = ..., first: _Optional[float] = ..., last: _Optional[float] = ..., count: _Optional[int] = ..., captured: _Optional[_Union[Captured, _Mapping]] = ..., parametric: _Optional[_Union[Parametric, _Mapping]] = ..., instruct_pix2pix: _Optional[_Union[InstructPix2Pix, _Mapping]] = ..., sdedit: _Optional[_Union[Sdedit, _Mapping]] = ..., ledits: _Optional[_Union[Ledits, _Mapping]] = ...) -> None: ...

class Interventional(_message.Message):
    __slots__ = ("properties", "permutations", "correction", "level", "dependence", "with_original", "adaptive", "frames")
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCE_FIELD_NUMBER: _ClassVar[int]
    WITH_ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    ADAPTIVE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    properties: _containers.RepeatedCompositeFieldContainer[Property]
    permutations: int
    correction: Correction
    level: float
    dependence: _containers.RepeatedScalarFieldContainer[Dependence]
    with_original: bool
    adaptive: bool
    frames: int
    def __init__(self, properties: _Optional[_Iterable[_Union[Property, _Mapping]]] = ..., permutations: _Optional[int] = ..., correction: _Optional[_Union[Correction, str]] = ..., level: _Optional[float] = ..., dependence: _Optional[_Iterable[_Union[Dependence, str]]] = ..., with_original: _Optional[bool] = ..., adaptive: _Optional[bool] = ..., frames: _Optional[int] = ...) -> None: ...
