"""The events of a stream, and the reader that puts the answer together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from google.protobuf.duration_pb2 import Duration
from sidelight_proto.v1.explanation_pb2 import EstimateCostResponse, ExplainStreamResponse
from sidelight_proto.v1.explanation_pb2 import Progress as ProgressMessage

from sidelight_client import baselines
from sidelight_client.errors import ProtocolError
from sidelight_client.inputs import Source
from sidelight_client.results import Explanation
from sidelight_client.tensors import Chunks


@dataclass(frozen=True)
class Estimate:
    """What an explanation is expected to cost; seconds alone on the device, and behind the work already admitted."""

    evaluations: int
    edits: int
    seconds: float
    seconds_with_queue: float
    baseline: str = ""  # in words, where the request names none

    @classmethod
    def decode(cls, message: EstimateCostResponse) -> "Estimate":
        times = seconds(message.expected), seconds(message.expected_with_queue)
        return cls(message.evaluations, message.edits, *times, baselines.words(message.baseline))


@dataclass(frozen=True)
class Accepted:
    """The request was admitted."""

    id: str
    seed: int
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class Progress:
    """How far it has come; `elapsed` in seconds.

    `previews` are the maps so far, where asked for, one for each model: [target, height, width] or [target, unit].
    `relative_error` is the 95th percentile of standard error over the map's range, where it is new; else None.
    """

    rows: int
    rows_expected: int
    elapsed: float
    queued: bool
    previews: tuple[np.ndarray, ...]
    relative_error: float | None = None
    edits: int = 0
    edits_expected: int = 0  # at most: those that the service remembers are not made again

    @property
    def fraction(self) -> float:
        """0..1, of rows and edits together."""
        expected = self.rows_expected + self.edits_expected
        return min((self.rows + self.edits) / expected, 1.0) if expected else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds still to go at the mean rate so far; None before the first row."""
        return self.elapsed * (1.0 - self.fraction) / self.fraction if self.fraction else None


Event = Accepted | Progress | Explanation
OnProgress = Callable[[Accepted | Progress], object]


class StreamReader:
    """Turns the messages of one stream into events. `last` is the newest Progress, None before the first."""

    def __init__(self, source: Source | None) -> None:
        self.started = False
        self.last: Progress | None = None
        self._source = source
        self._chunks = Chunks()
        self._ended = False

    def read(self, message: ExplainStreamResponse) -> Event | None:
        """The event that the message completes; None for a piece of a tensor, or an event of a later protocol."""
        self.started = True
        match message.WhichOneof("event"):
            case "accepted":
                accepted = message.accepted
                return Accepted(accepted.id, accepted.seed, Estimate.decode(accepted.estimate))
            case "progress":
                self.last = self._progress(message.progress)
                return self.last
            case "chunk":
                self._chunks.add(message.chunk.chunk_id, message.chunk.offset, message.chunk.data)
                return None
            case "result":
                self._ended = True
                return Explanation.decode(message.result, self._source, self._chunks)
        return None

    def close(self) -> None:
        """To be called where the stream ended well. Raises ProtocolError if the answer is missing."""
        if not self._ended:
            raise ProtocolError("the stream ended without an answer")

    def _progress(self, message: ProgressMessage) -> Progress:
        return Progress(
            rows=message.evaluations_done,
            rows_expected=message.evaluations_expected,
            elapsed=seconds(message.elapsed),
            queued=message.queued,
            previews=tuple(self._chunks.decode(t) for t in message.previews),
            edits=message.edits_done,
            edits_expected=message.edits_expected,
            relative_error=message.relative_standard_error if message.HasField("relative_standard_error") else None,
        )


def seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()
