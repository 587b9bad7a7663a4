"""The synchronous client."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Unpack

import grpc
from sidelight_proto.v1.explanation_pb2 import GetCatalogueResponse

from sidelight_client.calls import EXPLAIN_DEADLINE, QUICK_DEADLINE, READINESS, Call, Connection, StreamCall, T
from sidelight_client.errors import SidelightError
from sidelight_client.events import Estimate, Event, OnProgress
from sidelight_client.question import Question
from sidelight_client.results import Explanation


class Client(Connection):
    """Asks a Sidelight service for explanations.

        with Client("localhost:8085") as client:
            answer = client.explain("cat.jpg", model="efficientnet_lite0", method=Rise(masks=4000))
            answer.best.overlay().save("cat.png")

    Every call has a deadline in seconds, counted over all its attempts; UNAVAILABLE is tried again by the published
    policy, other errors are raised at once (see `sidelight_client.errors`). May be used from several threads.
    """

    grpc = grpc

    def explain(
        self,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = EXPLAIN_DEADLINE,
        on_progress: OnProgress | None = None,
        preview_every: float | None = None,
        **question: Unpack[Question],
    ) -> Explanation:
        """Explain one prediction and wait for the answer; Ctrl-C cancels it in the service too.

        input: a path (str or Path), encoded image bytes, a PIL image, a numpy array at the model's size
        [H, W, C] or [C, H, W] (uint8, or float32 in 0..255), or a `Series`, as which a list of images counts.
        text: a text, for a text model.
        question: `model`, `method`, `target`, ...: see `Question`.
        on_progress: called with Accepted once and with Progress while it runs; `preview_every` so many seconds it
        brings the map so far.
        The answer is streamed underneath, so it may be of any size.
        """
        source, request = self.ask(input, text, question)
        return self._answer(self.explaining(source, request, deadline, preview_every), on_progress)

    def stream(
        self,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = EXPLAIN_DEADLINE,
        preview_every: float | None = None,
        **question: Unpack[Question],
    ) -> Iterator[Event]:
        """The events of an explanation: Accepted, Progress while it runs, and last the Explanation.

        Leaving the loop early cancels the explanation. Arguments as in `explain`.
        """
        source, request = self.ask(input, text, question)
        return self._events(self.explaining(source, request, deadline, preview_every))

    def replay(
        self,
        answer: Explanation,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = EXPLAIN_DEADLINE,
        on_progress: OnProgress | None = None,
    ) -> Explanation:
        """The same answer again: same model version, seed, baseline, target and rows.

        input, text: needed only where the answer does not hold its input.
        """
        source, request = self.ask_again(answer, input, text)
        return self._answer(self.explaining(source, request, deadline, None), on_progress)

    def estimate(
        self,
        input: object = None,
        *,
        text: str | None = None,
        deadline: float = QUICK_DEADLINE,
        **question: Unpack[Question],
    ) -> Estimate:
        """What `explain` with the same arguments would cost, without running it."""
        return self._unary(self.estimating(self.ask(input, text, question)[1], deadline))

    def catalogue(self, model: str | None = None, *, deadline: float = QUICK_DEADLINE) -> GetCatalogueResponse:
        """Methods with their parameters, models, editors, metrics and limits; `model` narrows it to one model."""
        return self._unary(self.listing(model, deadline))

    def health(self, service: str = READINESS, *, deadline: float = QUICK_DEADLINE, wait: bool = False) -> str:
        """Tell "SERVING", "NOT_SERVING" or "UNKNOWN". `service` "" asks for liveness instead of readiness.

        With `wait` it returns when the service is SERVING, and raises Unavailable when the deadline comes first.
        """
        return self._unary(self.checking(service, deadline, wait))

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self.channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, call: StreamCall, on_progress: OnProgress | None) -> Explanation:
        answer = None
        with closing(self._events(call)) as events:
            for event in events:  # to its end: a stream that is left after the answer counts as cancelled
                if isinstance(event, Explanation):
                    answer = event
                elif on_progress is not None:
                    on_progress(event)
        if answer is None:
            raise AssertionError("a stream without an answer raises ProtocolError")
        return answer

    def _events(self, call: StreamCall) -> Generator[Event]:
        while True:
            stream = call.send(call.attempts.remaining())
            try:
                for message in stream:
                    event = call.decode(message)
                    if event is not None:
                        yield event
                call.reader.close()
                return
            except (grpc.RpcError, SidelightError) as error:
                pause = call.pause_after(error)
            finally:
                stream.cancel()
            time.sleep(pause)

    def _unary(self, call: Call[T]) -> T:
        while True:
            try:
                return call.decode(call.send(call.attempts.remaining()))
            except (grpc.RpcError, SidelightError) as error:
                pause = call.pause_after(error)
            time.sleep(pause)
