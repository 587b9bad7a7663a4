from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
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

class Metric(_message.Message):
    __slots__ = ("srg", "insertion", "deletion", "pointing_game", "mass_in_mask", "stability", "randomisation")
    SRG_FIELD_NUMBER: _ClassVar[int]
    INSERTION_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    POINTING_GAME_FIELD_NUMBER: _ClassVar[int]
    MASS_IN_MASK_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    RANDOMISATION_FIELD_NUMBER: _ClassVar[int]
    srg: Srg
    insertion: Insertion
    deletion: Deletion
    pointing_game: PointingGame
    mass_in_mask: MassInMask
    stability: Stability
    randomisation: Randomisation
    def __init__(self, srg: _Optional[_Union[Srg, _Mapping]] = ..., insertion: _Optional[_Union[Insertion, _Mapping]] = ..., deletion: _Optional[_Union[Deletion, _Mapping]] = ..., pointing_game: _Optional[_Union[PointingGame, _Mapping]] = ..., mass_in_mask: _Optional[_Union[MassInMask, _Mapping]] = ..., stability: _Optional[_Union[Stability, _Mapping]] = ..., randomisation: _Optional[_Union[Randomisation, _Mapping]] = ...) -> None: ...
