"""The real service in a thread of this process, for the blocking client and for modules whose tests share one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from in_process import Running, running
from sidelight.core.predictor import Predictor
from sidelight_client import Client
from sidelight_proto.v1 import explanation_pb2_grpc


@dataclass
class Served:
    """A service that is up, with a client and a stub for it."""

    running: Running
    address: str
    client: Client
    stub: explanation_pb2_grpc.ExplanationServiceStub


@contextmanager
def served(*predictors: Predictor, **options: Any) -> Iterator[Served]:
    """Up with `predictors`, all ready; stopped afterwards. Options are those of `running`."""
    ready, over, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        try:
            async with running(*predictors, **options) as up:
                found.append(up)
                ready.set()
                await asyncio.to_thread(over.wait)
        finally:
            ready.set()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="served")
    thread.start()
    try:
        assert ready.wait(30) and found, "the service is not up"
        address = found[0].addresses["grpc"]
        with Client(address) as client, grpc.insecure_channel(address) as channel:
            yield Served(found[0], address, client, explanation_pb2_grpc.ExplanationServiceStub(channel))
    finally:
        over.set()
        thread.join(30)
