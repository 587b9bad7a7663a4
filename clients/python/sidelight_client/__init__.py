"""Client for Sidelight, the service that explains predictions of models served by Triton.

from sidelight_client import Client, Rise

with Client("localhost:8085") as client:
    answer = client.explain("cat.jpg", model="efficientnet_lite0", method=Rise(masks=4000), top_k=1, deadline=60)
    answer.best.overlay().save("cat.png")
"""

from sidelight_proto.v1.intervention_pb2 import (
    Captured,
    InstructPix2Pix,
    Ledits,
    Parametric,
    Property,
    Sdedit,
)
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
from sidelight_client.interventions import ClassCurve, Dependence, Frame, Intervention, Significance
from sidelight_client.methods import (
    METHODS,
    Ciu,
    Compare,
    Given,
    GradCam,
    Hsic,
    IntegratedGradients,
    Interventional,
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
from sidelight_client.properties import gradual
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
    "Captured",
    "Ciu",
    "ClassCurve",
    "ClassScore",
    "Client",
    "Compare",
    "ConstantBaseline",
    "DeadlineExceeded",
    "Dependence",
    "DistributionBaseline",
    "Estimate",
    "Event",
    "Explanation",
    "FeatureMeanBaseline",
    "Frame",
    "Given",
    "GradCam",
    "Hsic",
    "ImageMeanBaseline",
    "InstructPix2Pix",
    "IntegratedGradients",
    "InternalError",
    "Intervention",
    "Interventional",
    "InvalidRequest",
    "KernelShap",
    "LayerCam",
    "Ledits",
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
    "Parametric",
    "PathAttribution",
    "Pda",
    "PermissionDenied",
    "Perturbation",
    "PreconditionFailed",
    "Progress",
    "Property",
    "ProtocolError",
    "Question",
    "Rationale",
    "ReferenceMeanBaseline",
    "ResourceExhausted",
    "Result",
    "Rise",
    "Sdedit",
    "Series",
    "SidelightError",
    "Significance",
    "Sobol",
    "TextBaseline",
    "Unauthenticated",
    "Unavailable",
    "Unit",
    "Violation",
    "gradual",
]
