"""The asyncio client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Unpack

import grpc
import grpc.aio
from sidelight_proto.v1.explanation_pb2 import GetCatalogueResponse

from sidelight_client.calls import EXPLAIN_DEADLINE, QUICK_DEADLINE, READINESS, Call, Connection, StreamCall, T
from sidelight_client.errors import SidelightError
from sidelight_client.events import Estimate, Event, OnProgress
from sidelight_client.question import Question
from sidelight_client.results import Explanation


class AsyncClient(Connection):
    """`Client` for asyncio, call by call the same; cancelling a task cancels its call in the service too.

    async with AsyncClient("localhost:8085") as client:
        answers = await asyncio.gather(*(client.explain(p, model="efficientnet_lite0") for p in photos))
    """

    grpc = grpc.aio

    async def explain(
        self,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = EXPLAIN_DEADLINE,
        on_progress: OnProgress | None = None,
        preview_every: float | None = None,
        **question: Unpack[Question],
    ) -> Explanation:
        """See `Client.explain`. `on_progress` is a plain function, called on the loop."""
        source, request = self.ask(input, text, question)
        return await self._answer(self.explaining(source, request, deadline, preview_every), on_progress)

    def stream(
        self,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = EXPLAIN_DEADLINE,
        preview_every: float | None = None,
        **question: Unpack[Question],
    ) -> AsyncIterator[Event]:
        """See `Client.stream`; for `async for`."""
        source, request = self.ask(input, text, question)
        return self._events(self.explaining(source, request, deadline, preview_every))

    async def replay(
        self,
        answer: Explanation,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = EXPLAIN_DEADLINE,
        on_progress: OnProgress | None = None,
    ) -> Explanation:
        """See `Client.replay`."""
        source, request = self.ask_again(answer, input, text)
        return await self._answer(self.explaining(source, request, deadline, None), on_progress)

    async def estimate(
        self,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = QUICK_DEADLINE,
        **question: Unpack[Question],
    ) -> Estimate:
        """See `Client.estimate`."""
        return await self._unary(self.estimating(self.ask(input, text, question)[1], deadline))

    async def catalogue(self, model: str | None = None, *, deadline: float = QUICK_DEADLINE) -> GetCatalogueResponse:
        """See `Client.catalogue`."""
        return await self._unary(self.listing(model, deadline))

    async def health(self, service: str = READINESS, *, deadline: float = QUICK_DEADLINE, wait: bool = False) -> str:
        """See `Client.health`."""
        return await self._unary(self.checking(service, deadline, wait))

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self.channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _answer(self, call: StreamCall, on_progress: OnProgress | None) -> Explanation:
        answer = None
        async with aclosing(self._events(call)) as events:
            async for event in events:  # to its end: a stream that is left after the answer counts as cancelled
                if isinstance(event, Explanation):
                    answer = event
                elif on_progress is not None:
                    on_progress(event)
        if answer is None:
            raise AssertionError("a stream without an answer raises ProtocolError")
        return answer

    async def _events(self, call: StreamCall) -> AsyncGenerator[Event]:
        while True:
            stream = call.send(call.attempts.remaining())
            try:
                async for message in stream:
                    event = call.decode(message)
                    if event is not None:
                        yield event
                call.reader.close()
                return
            except (grpc.RpcError, SidelightError) as error:
                pause = call.pause_after(error)
            finally:
                stream.cancel()
            await asyncio.sleep(pause)

    async def _unary(self, call: Call[T]) -> T:
        while True:
            try:
                return call.decode(await call.send(call.attempts.remaining()))
            except (grpc.RpcError, SidelightError) as error:
                pause = call.pause_after(error)
            await asyncio.sleep(pause)
