"""Which tiles go next. Pure data: no clock, no threads, no tensors.

Fairness is start-time fair queueing (Goyal, Vin & Cheng, SIGCOMM 1996) in measured device seconds: the least-served
ticket picks the ask, and tiles with the same key fill the batch, again least-served first. A ticket that joins, or
comes back after a pause, starts at the virtual time, so it gets no credit for having been away.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from sidelight.core.ask import Ask

Key = tuple[Ask, Hashable]
UNMEASURED = 1e-6  # seconds a row before the first measurement: any positive number makes tickets alternate


@dataclass(eq=False)
class Ticket:
    """A request as the scheduler sees it: `served` is device seconds over weight, in virtual time."""

    weight: float = 1.0
    served: float = 0.0
    alive: bool = True
    queues: list["Queue"] = field(default_factory=list)


@dataclass(eq=False)
class Queue:
    """A sweep's rows that have not been picked. Tiles are born when picked, so its memory does not grow with rows."""

    ticket: Ticket
    key: Key
    rows: int
    tile_rows: int
    next: int = 0
    alone: deque[range] = field(default_factory=deque)  # tiles of a failed batch, asked again one by one

    @property
    def waiting(self) -> bool:
        return bool(self.alone) or self.next < self.rows

    def peek(self) -> range:
        """The next tile. Tiles are never cut: the fold's grouping must not depend on load."""
        return range(self.next, min(self.next + self.tile_rows, self.rows))


@dataclass(frozen=True, eq=False)
class Tile:
    """Consecutive rows of one sweep: the atom of rendering, scheduling, retry and folding."""

    queue: Queue
    rows: range


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles of many sweeps with one key."""

    key: Key
    tiles: tuple[Tile, ...]
    charged: float  # provisional seconds a row

    @property
    def rows(self) -> int:
        return sum(len(t.rows) for t in self.tiles)


class Scheduler:
    """Submit, pick, settle; retry what failed; drop what died."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._virtual = 0.0
        self.rates: dict[Ask, float] = {}  # measured seconds a row

    def submit(self, queue: Queue) -> None:
        """Add a sweep. Its ticket comes to the virtual time if it was away."""
        ticket = queue.ticket
        if ticket not in self._tickets:
            ticket.served = max(ticket.served, self._virtual)
            self._tickets.append(ticket)
        ticket.queues.append(queue)

    def withdraw(self, queue: Queue) -> None:
        """Forget a sweep that has ended: its unborn rows are never born."""
        if queue in queue.ticket.queues:
            queue.ticket.queues.remove(queue)
            if not queue.ticket.queues and queue.ticket in self._tickets:
                self._tickets.remove(queue.ticket)

    def pick(self, room_for: Callable[[Ask], int]) -> Batch | None:
        """The next batch, of at most `room_for(ask)` rows but at least one tile; None where nothing waits.

        Dead tickets are dropped here.
        """
        for ticket in [t for t in self._tickets if not t.alive]:
            self._tickets.remove(ticket)
            ticket.queues.clear()
        ready = [(t, q) for t in self._tickets for q in t.queues if q.waiting]
        if not ready:
            return None
        lead, first = min(ready, key=lambda tq: tq[0].served)
        self._virtual = max(self._virtual, lead.served)
        # Charged at once, so that tickets alternate within the batch; corrected when the cost is measured.
        rate = self.rates.get(first.key[0], UNMEASURED)
        if first.alone:
            tile = Tile(first, first.alone.popleft())
            lead.served += len(tile.rows) * rate / lead.weight
            return Batch(first.key, (tile,), rate)
        tiles: list[Tile] = []
        room = room_for(first.key[0])
        same = [(t, q) for t, q in ready if q.key == first.key and not q.alone]
        while fits := [(t, q) for t, q in same if q.waiting and (not tiles or len(q.peek()) <= room)]:
            ticket, queue = min(fits, key=lambda tq: tq[0].served)
            rows = queue.peek()
            queue.next = rows.stop
            room -= len(rows)
            tiles.append(Tile(queue, rows))
            ticket.served += len(rows) * rate / ticket.weight
        return Batch(first.key, tuple(tiles), rate)

    def settle(self, batch: Batch, seconds: float) -> None:
        """Correct the charges to the measured cost of the batch."""
        rate = seconds / batch.rows
        for tile in batch.tiles:
            ticket = tile.queue.ticket
            ticket.served += len(tile.rows) * (rate - batch.charged) / ticket.weight
        ask = batch.key[0]
        self.rates[ask] = rate if ask not in self.rates else 0.8 * self.rates[ask] + 0.2 * rate

    def retry(self, batch: Batch) -> None:
        """Ask the tiles of a failed batch again, each alone, so that only the guilty one fails."""
        for tile in batch.tiles:
            tile.queue.alone.append(tile.rows)
