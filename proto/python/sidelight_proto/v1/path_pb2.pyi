from sidelight_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Path(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_UNSPECIFIED: _ClassVar[Path]
    PATH_STRAIGHT: _ClassVar[Path]
    PATH_BLUR: _ClassVar[Path]
    PATH_GUIDED: _ClassVar[Path]

class Quadrature(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUADRATURE_UNSPECIFIED: _ClassVar[Quadrature]
    QUADRATURE_GAUSS_LEGENDRE: _ClassVar[Quadrature]
    QUADRATURE_MIDPOINT: _ClassVar[Quadrature]
    QUADRATURE_TRAPEZOID: _ClassVar[Quadrature]
    QUADRATURE_RIGHT: _ClassVar[Quadrature]
    QUADRATURE_LEFT: _ClassVar[Quadrature]
    QUADRATURE_ADAPTIVE: _ClassVar[Quadrature]
PATH_UNSPECIFIED: Path
PATH_STRAIGHT: Path
PATH_BLUR: Path
PATH_GUIDED: Path
QUADRATURE_UNSPECIFIED: Quadrature
QUADRATURE_GAUSS_LEGENDRE: Quadrature
QUADRATURE_MIDPOINT: Quadrature
QUADRATURE_TRAPEZOID: Quadrature
QUADRATURE_RIGHT: Quadrature
QUADRATURE_LEFT: Quadrature
QUADRATURE_ADAPTIVE: Quadrature

class PathAttribution(_message.Message):
    __slots__ = ("attribution", "layers", "path", "quadrature", "nodes", "draws", "smooth_copies", "smooth_noise", "allow_partial_cut")
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUADRATURE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    SMOOTH_COPIES_FIELD_NUMBER: _ClassVar[int]
    SMOOTH_NOISE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_CUT_FIELD_NUMBER: _ClassVar[int]
    attribution: _types_pb2.Attribution
    layers: _containers.RepeatedScalarFieldContainer[str]
    path: Path
    quadrature: Quadrature
    nodes: int
    draws: int
    smooth_copies: int
    smooth_noise: float
    allow_partial_cut: bool
    def __init__(self, attribution: _Optional[_Union[_types_pb2.Attribution, str]] = ..., layers: _Optional[_Iterable[str]] = ..., path: _Optional[_Union[Path, str]] = ..., quadrature: _Optional[_Union[Quadrature, str]] = ..., nodes: _Optional[int] = ..., draws: _Optional[int] = ..., smooth_copies: _Optional[int] = ..., smooth_noise: _Optional[float] = ..., allow_partial_cut: _Optional[bool] = ...) -> None: ...

class IntegratedGradients(_message.Message):
    __slots__ = ("layers", "path", "quadrature", "nodes", "allow_partial_cut")
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUADRATURE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_CUT_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedScalarFieldContainer[str]
    path: Path
    quadrature: Quadrature
    nodes: int
    allow_partial_cut: bool
    def __init__(self, layers: _Optional[_Iterable[str]] = ..., path: _Optional[_Union[Path, str]] = ..., quadrature: _Optional[_Union[Quadrature, str]] = ..., nodes: _Optional[int] = ..., allow_partial_cut: _Optional[bool] = ...) -> None: ...

class GradCam(_message.Message):
    __slots__ = ("layers",)
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, layers: _Optional[_Iterable[str]] = ...) -> None: ...

class LayerCam(_message.Message):
    __slots__ = ("layers",)
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, layers: _Optional[_Iterable[str]] = ...) -> None: ...

class Compare(_message.Message):
    __slots__ = ("attributions", "layers", "path", "quadrature", "nodes", "draws", "allow_partial_cut")
    ATTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUADRATURE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_CUT_FIELD_NUMBER: _ClassVar[int]
    attributions: _containers.RepeatedScalarFieldContainer[_types_pb2.Attribution]
    layers: _containers.RepeatedScalarFieldContainer[str]
    path: Path
    quadrature: Quadrature
    nodes: int
    draws: int
    allow_partial_cut: bool
    def __init__(self, attributions: _Optional[_Iterable[_Union[_types_pb2.Attribution, str]]] = ..., layers: _Optional[_Iterable[str]] = ..., path: _Optional[_Union[Path, str]] = ..., quadrature: _Optional[_Union[Quadrature, str]] = ..., nodes: _Optional[int] = ..., draws: _Optional[int] = ..., allow_partial_cut: _Optional[bool] = ...) -> None: ...
