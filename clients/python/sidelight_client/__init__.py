"""Client for Sidelight, the service that explains predictions of models served by Triton.

from sidelight_client import Client, Rise

with Client("localhost:8085") as client:
    answer = client.explain("cat.jpg", model="efficientnet_lite0", method=Rise(masks=4000), top_k=1, deadline=60)
    answer.best.overlay().save("cat.png")
"""

from sidelight_proto.v1.types_pb2 import (
    BlurBaseline,
    ConstantBaseline,
    DistributionBaseline,
    FeatureMeanBaseline,
    ImageMeanBaseline,
    ModelMeanBaseline,
    NoiseBaseline,
    ReferenceMeanBaseline,
    TextBaseline,
)

from sidelight_client.aio import AsyncClient
from sidelight_client.attributions import Attribution
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
from sidelight_client.methods import (
    METHODS,
    Ciu,
    Compare,
    Given,
    GradCam,
    Hsic,
    IntegratedGradients,
    KernelShap,
    LayerCam,
    Lime,
    MaskOptimisation,
    MaskSearch,
    Occlusion,
    PathAttribution,
    Pda,
    Perturbation,
    Rise,
    Sobol,
)
from sidelight_client.optimised import Optimised, Rationale
from sidelight_client.question import Model, Question
from sidelight_client.results import ClassScore, Explanation, Measured, Result, Unit

__all__ = [
    "METHODS",
    "Aborted",
    "Accepted",
    "AsyncClient",
    "Attribution",
    "BlurBaseline",
    "Cancelled",
    "Ciu",
    "ClassScore",
    "Client",
    "Compare",
    "ConstantBaseline",
    "DeadlineExceeded",
    "DistributionBaseline",
    "Estimate",
    "Event",
    "Explanation",
    "FeatureMeanBaseline",
    "Given",
    "GradCam",
    "Hsic",
    "ImageMeanBaseline",
    "IntegratedGradients",
    "InternalError",
    "InvalidRequest",
    "KernelShap",
    "LayerCam",
    "Lime",
    "MaskOptimisation",
    "MaskSearch",
    "Measured",
    "Model",
    "ModelMeanBaseline",
    "NoiseBaseline",
    "NotFound",
    "Occlusion",
    "Optimised",
    "PathAttribution",
    "Pda",
    "PermissionDenied",
    "Perturbation",
    "PreconditionFailed",
    "Progress",
    "ProtocolError",
    "Question",
    "Rationale",
    "ReferenceMeanBaseline",
    "ResourceExhausted",
    "Result",
    "Rise",
    "Series",
    "SidelightError",
    "Sobol",
    "TextBaseline",
    "Unauthenticated",
    "Unavailable",
    "Unit",
    "Violation",
]
