from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Srg(_message.Message):
    __slots__ = ("steps", "replacement", "normalised")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    NORMALISED_FIELD_NUMBER: _ClassVar[int]
    steps: int
    replacement: _types_pb2.Replacement
    normalised: bool
    def __init__(self, steps: _Optional[int] = ..., replacement: _Optional[_Union[_types_pb2.Replacement, str]] = ..., normalised: _Optional[bool] = ...) -> None: ...

class Insertion(_message.Message):
    __slots__ = ("steps", "replacement", "normalised")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    NORMALISED_FIELD_NUMBER: _ClassVar[int]
    steps: int
    replacement: _types_pb2.Replacement
    normalised: bool
    def __init__(self, steps: _Optional[int] = ..., replacement: _Optional[_Union[_types_pb2.Replacement, str]] = ..., normalised: _Optional[bool] = ...) -> None: ...

class Deletion(_message.Message):
    __slots__ = ("steps", "replacement", "normalised")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    NORMALISED_FIELD_NUMBER: _ClassVar[int]
    steps: int
    replacement: _types_pb2.Replacement
    normalised: bool
    def __init__(self, steps: _Optional[int] = ..., replacement: _Optional[_Union[_types_pb2.Replacement, str]] = ..., normalised: _Optional[bool] = ...) -> None: ...

class PointingGame(_message.Message):
    __slots__ = ("mask", "tolerance")
    MASK_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    mask: _types_pb2.Tensor
    tolerance: int
    def __init__(self, mask: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ..., tolerance: _Optional[int] = ...) -> None: ...

class MassInMask(_message.Message):
    __slots__ = ("mask",)
    MASK_FIELD_NUMBER: _ClassVar[int]
    mask: _types_pb2.Tensor
    def __init__(self, mask: _Optional[_Union[_types_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Stability(_message.Message):
    __slots__ = ("repeats",)
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    repeats: int
    def __init__(self, repeats: _Optional[int] = ...) -> None: ...

class Randomisation(_message.Message):
    __slots__ = ("layers",)
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    layers: int
    def __init__(self, layers: _Optional[int] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("steps", "least", "most", "replacement")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    steps: int
    least: float
    most: float
    replacement: _types_pb2.Replacement
    def __init__(self, steps: _Optional[int] = ..., least: _Optional[float] = ..., most: _Optional[float] = ..., replacement: _Optional[_Union[_types_pb2.Replacement, str]] = ...) -> None: ...

class TextSpan(_message.Message):
    __slots__ = ("begin", "end")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    begin: int
    end: int
    def __init__(self, begin: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class RationaleAgreement(_message.Message):
    __slots__ = ("spans", "threshold", "share", "count")
    SPANS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    spans: _containers.RepeatedCompositeFieldContainer[TextSpan]
    threshold: float
    share: float
    count: int
    def __init__(self, spans: _Optional[_Iterable[_Union[TextSpan, _Mapping]]] = ..., threshold: _Optional[float] = ..., share: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("srg", "insertion", "deletion", "pointing_game", "mass_in_mask", "stability", "randomisation", "sufficiency", "comprehensiveness", "rationale")
    SRG_FIELD_NUMBER: _ClassVar[int]
    INSERTION_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    POINTING_GAME_FIELD_NUMBER: _ClassVar[int]
    MASS_IN_MASK_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    RANDOMISATION_FIELD_NUMBER: _ClassVar[int]
    SUFFICIENCY_FIELD_NUMBER: _ClassVar[int]
    COMPREHENSIVENESS_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    srg: Srg
    insertion: Insertion
    deletion: Deletion
    pointing_game: PointingGame
    mass_in_mask: MassInMask
    stability: Stability
    randomisation: Randomisation
    sufficiency: Erasure
    comprehensiveness: Erasure
    rationale: RationaleAgreement
    def __init__(self, srg: _Optional[_Union[Srg, _Mapping]] = ..., insertion: _Optional[_Union[Insertion, _Mapping]] = ..., deletion: _Optional[_Union[Deletion, _Mapping]] = ..., pointing_game: _Optional[_Union[PointingGame, _Mapping]] = ..., mass_in_mask: _Optional[_Union[MassInMask, _Mapping]] = ..., stability: _Optional[_Union[Stability, _Mapping]] = ..., randomisation: _Optional[_Union[Randomisation, _Mapping]] = ..., sufficiency: _Optional[_Union[Erasure, _Mapping]] = ..., comprehensiveness: _Optional[_Union[Erasure, _Mapping]] = ..., rationale: _Optional[_Union[RationaleAgreement, _Mapping]] = ...) -> None: ...
