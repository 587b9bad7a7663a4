"""Client for Sidelight, the service that explains predictions of models served by Triton.

from sidelight_client import Client, Rise

with Client("localhost:8085") as client:
    answer = client.explain("cat.jpg", model="efficientnet_lite0", method=Rise(masks=4000), top_k=1, deadline=60)
    answer.best.overlay().save("cat.png")
"""

from sidelight_proto.v1.types_pb2 import (
    BlurBaseline,
    ConstantBaseline,
    ImageMeanBaseline,
    ModelMeanBaseline,
    NoiseBaseline,
    TextBaseline,
)

from sidelight_client.aio import AsyncClient
from sidelight_client.client import Client
from sidelight_client.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ResourceExhausted,
    SidelightError,
    Unauthenticated,
    Unavailable,
    Violation,
)
from sidelight_client.events import Accepted, Estimate, Event, Progress
from sidelight_client.inputs import Series
from sidelight_client.methods import METHODS, Rise
from sidelight_client.question import Model, Question
from sidelight_client.results import ClassScore, Explanation, Result, Unit

__all__ = [
    "METHODS",
    "Aborted",
    "Accepted",
    "AsyncClient",
    "BlurBaseline",
    "Cancelled",
    "ClassScore",
    "Client",
    "ConstantBaseline",
    "DeadlineExceeded",
    "Estimate",
    "Event",
    "Explanation",
    "ImageMeanBaseline",
    "InternalError",
    "InvalidRequest",
    "Model",
    "ModelMeanBaseline",
    "NoiseBaseline",
    "NotFound",
    "PermissionDenied",
    "PreconditionFailed",
    "Progress",
    "ProtocolError",
    "Question",
    "ResourceExhausted",
    "Result",
    "Rise",
    "Series",
    "SidelightError",
    "TextBaseline",
    "Unauthenticated",
    "Unavailable",
    "Unit",
    "Violation",
]
