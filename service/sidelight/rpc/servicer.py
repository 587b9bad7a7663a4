"""The RPCs of ExplanationService."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from sidelight_proto.v1 import explanation_pb2_grpc, types_pb2
from sidelight_proto.v1.explanation_pb2 import (
    Accepted,
    EstimateCostRequest,
    EstimateCostResponse,
    ExplainRequest,
    ExplainResponse,
    ExplainStreamRequest,
    ExplainStreamResponse,
    GetCatalogueRequest,
    GetCatalogueResponse,
)
from sidelight_proto.v1.explanation_pb2 import Progress as ProgressMessage

from sidelight.core.errors import InvalidRequest, SidelightError
from sidelight.engine.mailbox import Progress
from sidelight.rpc.catalogue import Static, catalogue
from sidelight.rpc.decode import Question
from sidelight.rpc.desk import Deadline, Desk, Estimate
from sidelight.rpc.encode import (
    OVERLAY_BYTES,
    STREAM_BYTES,
    UNARY_BYTES,
    check_size,
    chunks,
    detach,
    overlay_room,
    tensor_bytes,
)
from sidelight.rpc.status import code_of
from sidelight.rpc.tensors import encode_tensor

PROGRESS_EVERY = 0.1  # seconds between progress events, at least
PREVIEW_BYTES = 2 << 20  # of the previews in one event


class ExplanationServicer(explanation_pb2_grpc.ExplanationServiceServicer):
    """Errors are raised; the interceptor maps them."""

    def __init__(self, desk: Desk, static: Static) -> None:
        self._desk, self._static = desk, static

    async def Explain(self, request: ExplainRequest, context: grpc.aio.ServicerContext) -> ExplainResponse:
        async def nothing(_: object) -> None: ...

        deadline = Deadline.of(context, self._desk.max_duration)
        async with self._asked(request, deadline, UNARY_BYTES, stream=False) as asked:
            question = asked.question
            response = await self._desk.explain(
                question, deadline, overlays=overlay_room(question), accepted=nothing, progress=nothing
            )
            check_size(response.ByteSize(), UNARY_BYTES, stream=False)
            return response

    async def ExplainStream(self, request: ExplainStreamRequest, context: grpc.aio.ServicerContext) -> None:
        deadline = Deadline.of(context, self._desk.max_duration)
        preview_every = _preview_interval(request)
        async with self._asked(request.explanation, deadline, STREAM_BYTES, stream=True) as asked:
            question = asked.question
            events = Events(question, deadline, context)
            response = await self._desk.explain(
                question,
                deadline,
                overlays=OVERLAY_BYTES,
                accepted=lambda estimate: events.accepted(estimate, estimate.encode(self._desk.gate)),
                progress=events.progress,
                preview_every=preview_every,
            )
            large = detach(response)
            check_size(response.ByteSize(), UNARY_BYTES, stream=True)
            for chunk in chunks(large):
                await context.write(ExplainStreamResponse(chunk=chunk))
            asked.answered = True
            await context.write(ExplainStreamResponse(result=response))

    async def EstimateCost(
        self, request: EstimateCostRequest, context: grpc.aio.ServicerContext
    ) -> EstimateCostResponse:
        deadline = Deadline.of(context, self._desk.max_duration)
        question = await self._desk.question(request.explanation, deadline)
        return self._desk.estimate(question).encode(self._desk.gate)

    async def GetCatalogue(
        self, request: GetCatalogueRequest, context: grpc.aio.ServicerContext
    ) -> GetCatalogueResponse:
        return catalogue(request, self._desk.roster, self._desk.studio, self._desk.engine, self._static)

    @asynccontextmanager
    async def _asked(
        self, request: ExplainRequest, deadline: Deadline, limit: int, stream: bool
    ) -> AsyncIterator["Asked"]:
        """The checked question; how it ends is counted."""
        method, models = "", tuple[str, ...]()
        outcome, asked = "INTERNAL", None
        try:
            question = await self._desk.question(request, deadline)
            method, models = question.method.name, tuple(p.spec.name for p in question.parts)
            check_size(tensor_bytes(question), limit, stream)
            yield (asked := Asked(question))
            outcome = "OK"
        except asyncio.CancelledError:
            # A caller that has its answer may well hang up before it has read the end of the stream.
            outcome = "OK" if asked and asked.answered else "CANCELLED"
            raise
        except SidelightError as error:
            outcome = code_of(error).name
            raise
        finally:
            self._desk.observer.explained(method, models, outcome, time.monotonic() - deadline.began)


@dataclass
class Asked:
    """A question that is being worked on."""

    question: Question
    answered: bool = False


class Events:
    """The events of one stream before its result."""

    def __init__(self, question: Question, deadline: Deadline, context: grpc.aio.ServicerContext) -> None:
        self._question, self._deadline, self._context = question, deadline, context
        self._sent = -PROGRESS_EVERY

    async def accepted(self, estimate: Estimate, cost: EstimateCostResponse) -> None:
        """The request was admitted."""
        message = Accepted(id=self._question.id, estimate=cost, seed=self._question.seed)
        await self._context.write(ExplainStreamResponse(accepted=message))

    async def progress(self, news: Progress) -> None:
        """Tell how far it has come, unless that was told just now."""
        elapsed = time.monotonic() - self._deadline.began
        worth_telling = news.previews or news.queued or news.relative_error is not None
        if not worth_telling and elapsed - self._sent < PROGRESS_EVERY:
            return
        self._sent = elapsed
        message = ProgressMessage(
            evaluations_done=news.rows,
            evaluations_expected=self._question.rows,
            edits_done=news.edits,
            edits_expected=self._question.edits,
            queued=news.queued,
            previews=_previews(news),
            relative_standard_error=news.relative_error,
        )
        message.elapsed.FromNanoseconds(round(elapsed * 1e9))
        await self._context.write(ExplainStreamResponse(progress=message))


def _previews(news: Progress) -> list[types_pb2.Tensor]:
    """Maps so far: the first targets, as many as one event has room for."""
    room = PREVIEW_BYTES // max(len(news.previews), 1)
    found = []
    for maps in news.previews:
        first = maps[: room // (4 * maps[0].numel())]
        axes = ("target", "height", "width") if maps.ndim == 3 else ("target", "unit")
        if len(first):
            found.append(encode_tensor("preview", first, axes))
    return found


def _preview_interval(request: ExplainStreamRequest) -> float | None:
    if not request.HasField("preview_interval"):
        return None
    seconds = request.preview_interval.seconds + request.preview_interval.nanos / 1e9
    if not 0.05 <= seconds <= 3600:
        raise InvalidRequest("preview_interval", f"0.05 s to 1 h, not {seconds:g} s; leave it out for no previews")
    return seconds
