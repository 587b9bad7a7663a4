"""The explanation methods with their parameters: the protocol's own messages, one for each field of its `oneof method`.

Unset parameters take the defaults that the catalogue lists. A parameter that a method does not have raises ValueError.
"""

import difflib
from collections.abc import Iterable

from google.protobuf import message_factory
from google.protobuf.message import Message
from sidelight_proto.v1.explanation_pb2 import (
    Ciu,
    ExplainRequest,
    Given,
    Hsic,
    KernelShap,
    Lime,
    Occlusion,
    Pda,
    Perturbation,
    Rise,
    Sobol,
)
from sidelight_proto.v1.intervention_pb2 import Interventional
from sidelight_proto.v1.mask_pb2 import MaskOptimisation, MaskSearch
from sidelight_proto.v1.path_pb2 import Compare, GradCam, IntegratedGradients, LayerCam, PathAttribution

from sidelight_client.errors import InvalidRequest

METHODS: dict[str, type[Message]] = {
    field.name: message_factory.GetMessageClass(field.message_type)
    for field in ExplainRequest.DESCRIPTOR.oneofs_by_name["method"].fields
}

MAPLESS = ("interventional",)  # methods that make no attribution maps


def named(method: str | Message) -> tuple[str, Message]:
    """The request's field for a method and the message that goes into it. Raises InvalidRequest for an unknown one."""
    if isinstance(method, str):
        if method not in METHODS:
            raise InvalidRequest.of("method", f"{method!r} is unknown; {hint(method, METHODS)}")
        return method, METHODS[method]()
    for name, kind in METHODS.items():
        if isinstance(method, kind):
            return name, method
    raise InvalidRequest.of("method", f"takes a method's name or message, got {type(method).__name__}")


def hint(word: str, known: Iterable[str]) -> str:
    """Close matches of a misspelt word, or all that would do."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(words)}"


__all__ = [
    "MAPLESS",
    "METHODS",
    "Ciu",
    "Compare",
    "Given",
    "GradCam",
    "Hsic",
    "IntegratedGradients",
    "Interventional",
    "KernelShap",
    "LayerCam",
    "Lime",
    "MaskOptimisation",
    "MaskSearch",
    "Occlusion",
    "PathAttribution",
    "Pda",
    "Perturbation",
    "Rise",
    "Sobol",
    "hint",
    "named",
]
