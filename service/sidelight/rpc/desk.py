"""From a request to its answer: decode, estimate, admit, run, encode. What the RPCs have in common."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import grpc
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import EstimateCostResponse, ExplainRequest, ExplainResponse

from sidelight.core.ask import Forward, Model
from sidelight.core.effect import Interventions
from sidelight.core.errors import Cancelled, DeadlineExceeded, Unavailable
from sidelight.core.explanation import Explanation, explain
from sidelight.core.sweep import Plan, together
from sidelight.engine.engine import Engine
from sidelight.engine.gate import Gate, Stages, seconds
from sidelight.engine.mailbox import Mailbox, Progress
from sidelight.engine.observer import Label
from sidelight.engine.threads import alone
from sidelight.rpc.decode import Part, Question, decode
from sidelight.rpc.encode import Spent, encode, set_timing
from sidelight.rpc.observer import RpcObserver, request_id
from sidelight.rpc.roster import Roster
from sidelight.rpc.sources import Limits
from sidelight.rpc.studio import Studio

T = TypeVar("T")
REPLY = 0.05  # seconds kept for the answer to a deadline that was missed
BACKWARD = 3.0  # times as long as a row's forward pass alone it takes with the gradient
MAX_MARGIN = 2.0  # seconds kept at most for making a partial answer


@dataclass(frozen=True)
class Deadline:
    """When the caller stops waiting, on the monotonic clock; `began` is when the request arrived."""

    began: float
    ends: float

    @classmethod
    def of(cls, context: grpc.aio.ServicerContext, longest: float) -> "Deadline":
        """The caller's, or `longest` seconds from now where there is none."""
        now = time.monotonic()
        remaining = context.time_remaining()
        return cls(now, now + (longest if remaining is None else remaining))

    @property
    def remaining(self) -> float:
        """Seconds left to work in."""
        return self.ends - REPLY - time.monotonic()

    @property
    def margin(self) -> float:
        """Seconds in which a partial answer is made and sent."""
        return min(MAX_MARGIN, 0.1 * (self.ends - self.began))


@dataclass(frozen=True)
class Estimate:
    """Expected cost: evaluations, edits at most, and seconds; and the baseline of a request that names none."""

    evaluations: int
    edits: int
    stages: Stages
    baseline: types_pb2.Baseline | None

    def encode(self, gate: Gate) -> EstimateCostResponse:
        """With the work that `gate` has admitted in front of it."""
        response = EstimateCostResponse(evaluations=self.evaluations, edits=self.edits, baseline=self.baseline)
        response.expected.FromNanoseconds(round(seconds(self.stages) * 1e9))
        response.expected_with_queue.FromNanoseconds(round(gate.expected(self.stages) * 1e9))
        return response


class Desk:
    """Where requests are worked on. Lives on the event loop; what is slow goes to its threads."""

    def __init__(
        self,
        engine: Engine,
        gate: Gate,
        roster: Roster,
        limits: Limits,
        observer: RpcObserver,
        studio: Studio,
        *,
        max_duration: float = 600.0,
        threads: int = 2,
    ) -> None:
        self.engine, self.gate, self.roster, self.limits = engine, gate, roster, limits
        self.observer, self.studio, self.max_duration = observer, studio, max_duration
        self._threads = ThreadPoolExecutor(threads, "codec", alone)
        self._draining = False

    async def question(self, request: ExplainRequest, deadline: Deadline) -> Question:
        """The request, checked. Raises what is wrong with it."""
        if self._draining:
            raise Unavailable("the service is shutting down", retry_after=5.0)
        if deadline.remaining <= 0:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        question = await self._aside(decode, request, self.roster, self.limits, request_id.get(), self.studio)
        if request.id:
            request_id.set(question.id)
        return question

    def estimate(self, question: Question) -> Estimate:
        """What it would cost at the measured rates. Frames are edited before a model sees them."""
        edits: dict[str, float] = defaultdict(float)  # seconds by lane, as `rows`
        rows: dict[str, float] = defaultdict(float)
        for one in question.interventions:
            edits[one.editor.lane] += one.most * (self.engine.seconds_per_row(one.edits.prepared.ask) or 0.0)
        for part in question.parts:
            backward = "gradient" in question.method.needs
            model = part.asked(question.method)
            lane = part.offer.rows_by(model).lane
            cost = self._seconds_per_row(part, model) * (BACKWARD if backward else 1)
            rows[lane] += part.rows(question.method, question.max_evaluations) * cost
        named = question.request.baseline.WhichOneof("kind")
        return Estimate(question.rows, question.edits, (edits, rows), None if named else question.said_baseline)

    def _seconds_per_row(self, part: Part, model: Model) -> float:
        """Measured for this version, else for the one that was probed; 0 where nothing is known yet."""
        versions = (model.version, part.offer.spec.version)
        rates = (self.engine.seconds_per_row(Forward(replace(model, version=v))) for v in versions)
        return next((rate for rate in rates if rate is not None), 0.0)

    async def explain(
        self,
        question: Question,
        deadline: Deadline,
        *,
        overlays: int,
        accepted: Callable[[Estimate], Awaitable[None]],
        progress: Callable[[Progress], Awaitable[None]],
        preview_every: float | None = None,
    ) -> ExplainResponse:
        """Admit, run and encode, with `overlays` bytes of them; leaving early kills the run.

        `accepted` and `progress` are told on the way. Raises what the gate refuses and what the run fails with.
        """
        models = tuple(part.spec.name for part in question.parts)
        estimate = self.estimate(question)
        with self.gate.admit(estimate.stages, deadline.remaining, question.allow_partial) as admission:
            await accepted(estimate)
            mailbox = Mailbox(asyncio.get_running_loop())
            run = self.engine.run(
                _plan(question),
                mailbox,
                label=Label(question.method.name, models[0], question.parts[0].offer.predictor.endpoint.executor),
                deadline=deadline.ends - REPLY,
                partial=question.allow_partial,
                margin=deadline.margin,
                preview_every=preview_every,
            )
            try:
                async for news in mailbox:
                    admission.progress((news.rows + news.edits) / (estimate.evaluations + estimate.edits))
                    await progress(news)
                done = await mailbox.result()
            finally:
                run.kill(Cancelled())  # does nothing to a run that has ended
        done = done if isinstance(done, tuple) else (done,)
        response = await self._aside(encode, question, done, overlays)
        timing = run.timing
        total = time.monotonic() - deadline.began
        set_timing(response, Spent(timing.queue, timing.edit, timing.infer, timing.fold, total))
        self._tell(question, done)
        return response

    def _tell(self, question: Question, done: tuple[Explanation, ...]) -> None:
        for explanation in done:
            name, stop, result = explanation.job.model.name, explanation.stop, explanation.result
            self.observer.answered(question.method.name, name, explanation.converged, stop.value)
            if explanation.twin_gap is not None:
                self.observer.twin_gap(name, explanation.twin_gap)
            if isinstance(result, Interventions):
                for response in result.responses:
                    for effect in response.effects:
                        self.observer.property_gradient(name, response.editor, effect.score)
                continue
            for first, *_ in result.accounts:
                if math.isfinite(first.error):
                    self.observer.attribution_error(question.method.name, name, first.error_relative)

    async def _aside(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    # -- the end -----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take nothing new."""
        self._draining = True
        self.gate.drain()

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _plan(question: Question) -> Plan:
    plans = [
        explain(part.job, part.target.resolve, question.method, part.params, question.max_evaluations, part.metrics)
        for part in question.parts
    ]
    return plans[0] if len(plans) == 1 else together(*plans)
