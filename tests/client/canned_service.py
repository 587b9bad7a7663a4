"""A real gRPC server that answers from a script: what a client must cope with, without a model behind it."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from sidelight_client import tensors
from sidelight_proto.v1 import catalogue_pb2, explanation_pb2_grpc, types_pb2
from sidelight_proto.v1.explanation_pb2 import (
    Accepted,
    EstimateCostResponse,
    ExplainRequest,
    ExplainResponse,
    ExplainStreamRequest,
    ExplainStreamResponse,
    GetCatalogueResponse,
    Progress,
    TensorChunk,
)

Script = Callable[[ExplainStreamRequest, grpc.ServicerContext], Iterator[ExplainStreamResponse]]
MAP = np.linspace(0.0, 1.0, 6 * 8, dtype=np.float32).reshape(6, 8)
SEED = 2**63 + 7


def seconds(value: float) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=int(value), nanos=int(value % 1 * 1e9))


def refusal(code: grpc.StatusCode, message: str, *details) -> status_pb2.Status:
    """A google.rpc.Status with details, as the protocol promises for every error."""
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def away(retry_after: float) -> status_pb2.Status:
    retry = error_details_pb2.RetryInfo(retry_delay=seconds(retry_after))
    return refusal(grpc.StatusCode.UNAVAILABLE, "Triton is down", retry)


def result(tensor: types_pb2.Tensor | None = None) -> types_pb2.Result:
    tabby = types_pb2.ClassScore(index=281, label="tabby", value=0.62)
    attribution = types_pb2.Map(
        kind=types_pb2.MAP_KIND_ATTRIBUTION,
        resolution=types_pb2.RESOLUTION_METHOD,
        tensor=tensor or tensors.encode(MAP, axes=("height", "width")),
    )
    return types_pb2.Result(
        model=types_pb2.ModelProvenance(model=types_pb2.ModelRef(name="tiny", version="3")),
        target=types_pb2.ResolvedTarget(instance=tabby, link=types_pb2.LINK_PROBABILITY, scale="probability"),
        maps=[attribution],
        baseline_output_value=0.01,
        instance_output_value=0.62,
        evaluations=4002,
        rows_done=4000,
        stop_reason=types_pb2.STOP_REASON_COMPLETE,
        converged=True,
        relative_standard_error=0.03,
        top_classes=[tabby, types_pb2.ClassScore(index=282, label="tiger cat", value=0.2)],
        top_classes_scale="probability",
    )


def answer(request: ExplainRequest, *results: types_pb2.Result) -> ExplainStreamResponse:
    resolved = ExplainRequest()
    resolved.CopyFrom(request)
    resolved.ClearField("input")
    resolved.seed = SEED
    response = ExplainResponse(
        id="r-1",
        results=results,
        resolved=resolved,
        method="rise",
        timing=types_pb2.Timing(queue=seconds(0.5), infer=seconds(1.25), total=seconds(2)),
        service_version="1.2.3",
    )
    return ExplainStreamResponse(result=response)


def accepted() -> ExplainStreamResponse:
    cost = EstimateCostResponse(evaluations=4000, expected=seconds(8))
    return ExplainStreamResponse(accepted=Accepted(id="r-1", seed=SEED, estimate=cost))


def progress(done: int, *previews: types_pb2.Tensor, elapsed: float = 1.0) -> ExplainStreamResponse:
    message = Progress(
        evaluations_done=done, evaluations_expected=4000, elapsed=seconds(elapsed), previews=previews, queued=not done
    )
    return ExplainStreamResponse(progress=message)


def chunk(number: int, offset: int, data: bytes) -> ExplainStreamResponse:
    return ExplainStreamResponse(chunk=TensorChunk(chunk_id=number, offset=offset, data=data))


def ordinary(request: ExplainStreamRequest, _: grpc.ServicerContext) -> Iterator[ExplainStreamResponse]:
    """Accepted, two progress events and an answer with a small map."""
    yield accepted()
    yield progress(0)
    yield progress(1000)
    yield answer(request.explanation, result())


def tiny() -> catalogue_pb2.ModelEntry:
    """A model whose twin has a cut and a layer that is none."""
    entry = catalogue_pb2.ModelEntry(name="tiny", versions=["3"], modality="image", size=[6, 8], ready=True)
    entry.twin.verified, entry.twin.gap = True, 2e-6
    entry.twin.layers.add(name="conv", shape=[16, -1, 7], cut=True)
    entry.twin.layers.add(name="branch", shape=[16, 7, 7])
    return entry


class StartingHealth(health.HealthServicer):
    """Ready from the check numbered `ready_after` on."""

    def __init__(self) -> None:
        super().__init__()
        self.checks, self.ready_after = 0, 1

    def Check(self, request, context):
        self.checks += 1
        status = health_pb2.HealthCheckResponse
        ready = status.SERVING if self.checks >= self.ready_after else status.NOT_SERVING
        self.set("sidelight.v1.ExplanationService", ready)
        return super().Check(request, context)


class CannedService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Follows `script` for explanations, after sending the `refusals`, one a call, to any RPC.

    `requests` are what arrived, `metadata` what came with the last; `cancelled` is set when a caller hung up.
    """

    def __init__(self) -> None:
        self.script: Script = ordinary
        self.refusals: list[status_pb2.Status] = []
        self.requests: list = []
        self.metadata: dict[str, str] = {}
        self.cancelled = threading.Event()
        self.health = StartingHealth()

    def ExplainStream(self, request, context):
        self._receive(request, context)
        yield from self.script(request, context)

    def EstimateCost(self, request, context):
        self._receive(request, context)
        black, mean = {"constant": {"value": [0]}}, {"model_mean": {}}
        return EstimateCostResponse(
            evaluations=4000,
            expected=seconds(8),
            expected_with_queue=seconds(12.5),
            baseline=types_pb2.Baseline(distribution={"baselines": [black, mean]}),
        )

    def GetCatalogue(self, request, context):
        self._receive(request, context)
        masks = catalogue_pb2.ParameterEntry(name="masks", type="integer", default="4000", low=1, high=1e5)
        rise = catalogue_pb2.MethodEntry(name="rise", summary="Random masks.", parameters=[masks], available=True)
        rise.baselines.add(modality="image", baseline=types_pb2.Baseline(blur={"sigma": 20}))
        return GetCatalogueResponse(
            service_version="1.2.3",
            methods=[rise],
            models=[tiny()],
        )

    def _receive(self, request, context) -> None:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        context.add_callback(lambda: context.code() is None and self.cancelled.set())
        if self.refusals:
            context.abort_with_status(rpc_status.to_status(self.refusals.pop(0)))


def serve(service: CannedService) -> tuple[grpc.Server, str]:
    """A started server and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(service.health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"
