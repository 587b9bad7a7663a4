"""The real service in this process, with small predictors behind it, and requests for it."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from sidelight.config import Config, Engine, Limits, Server
from sidelight.core.predictor import Predictor
from sidelight.watch import TwinSource
from sidelight.wiring import Service
from sidelight.workshop import EditorSource
from sidelight_proto.v1 import explanation_pb2_grpc, types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, Rise

READY = "sidelight.v1.ExplanationService"


@dataclass
class Running:
    """A service that is up, with a channel to it."""

    service: Service
    channel: grpc.aio.Channel
    stub: explanation_pb2_grpc.ExplanationServiceStub
    health: health_pb2_grpc.HealthStub
    addresses: dict[str, str]

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric's series; 0 where there is none yet."""
        return self.service.telemetry.registry.get_sample_value(name, labels) or 0.0

    async def status(self) -> int:
        """The health of the explanation service."""
        return (await self.health.Check(health_pb2.HealthCheckRequest(service=READY))).status


@asynccontextmanager
async def running(
    *predictors: Predictor,
    wait: bool = True,
    limits: Limits | None = None,
    twins: dict[str, TwinSource] | None = None,
    editors: dict[str, EditorSource] | None = None,
    **server: Any,
) -> AsyncIterator[Running]:
    """Up with `predictors`, all ready, twins by the model's name and editors by their own; stopped afterwards."""
    makers: dict[str, Callable[[], Predictor]] = {p.name: lambda p=p: p for p in predictors}
    config = Config(
        Server(**{"port": 0, "metrics_port": 0, "drain_seconds": 2.0, **server}),
        limits or Limits(),
        Engine(poll_seconds=0.05),
    )
    service = Service(config, makers, twins, editors)
    try:
        addresses = await service.start()
        async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
            up = Running(
                service,
                channel,
                explanation_pb2_grpc.ExplanationServiceStub(channel),
                health_pb2_grpc.HealthStub(channel),
                addresses,
            )
            if wait:
                await all_ready(service)
            yield up
    finally:
        await service.stop()


async def all_ready(service: Service, seconds: float = 10.0) -> None:
    """Return when every model answers."""
    for _ in range(round(seconds / 0.01)):
        if all(s.ready for s in service.roster.states()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError([s.reason for s in service.roster.states()])


def pixels(height: int = 8, width: int = 8, seed: int = 0) -> np.ndarray:
    """A random image, uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: np.ndarray | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def request(**fields: Any) -> ExplainRequest:
    """RISE with 64 masks of the model `linear` on a random image; `fields` replace parts of it."""
    base = {
        "models": [types_pb2.ModelRef(name="linear")],
        "input": types_pb2.Input(image=encoded(pixels())),
        "seed": 1,
    }
    if ExplainRequest.DESCRIPTOR.oneofs_by_name["method"].fields[0].name not in fields:
        base["rise"] = Rise(masks=64)
    return ExplainRequest(**{**base, **fields})


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The rich status of an error."""
    found = dict(error.trailing_metadata())["grpc-status-details-bin"]
    return status_pb2.Status.FromString(found)


def details(error: grpc.aio.AioRpcError, kind: type) -> list:
    """The details of one kind."""
    found = []
    for packed in status_of(error).details:
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


def array(tensor: types_pb2.Tensor) -> np.ndarray:
    """A tensor's contents."""
    return np.frombuffer(tensor.contents, "<f4").reshape(tensor.shape)
