"""Which tiles go next. Pure data: no clock, no threads, no tensors.

Fairness is start-time fair queueing (Goyal, Vin & Cheng, SIGCOMM 1996) in measured device seconds: the least-served
ticket picks the ask, and tiles with the same key fill the batch, again least-served first. A ticket that joins, or
comes back after a pause, starts at the virtual time, so it gets no credit for having been away.
"""

import sys
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sidelight.core.ask import Ask, costing

Key = tuple[Ask, Hashable]
REMEMBERED = 15  # batches whose cost is remembered, for each ask
UNMEASURED = 1e-6  # seconds a row before the first measurement: any positive number makes tickets alternate


@dataclass(eq=False)
class Ticket:
    """A request as schedulers see it. It may have rows in several lanes, each with its own account."""

    weight: float = 1.0
    alive: bool = True


@dataclass(eq=False)
class Account:
    """What one scheduler knows of a ticket: `served` is device seconds over weight, in virtual time."""

    served: float = 0.0
    queues: list["Queue"] = field(default_factory=list)


@dataclass(eq=False)
class Queue:
    """A sweep's rows that have not been picked. Tiles are born when picked, so its memory does not grow with rows."""

    ticket: Ticket
    key: Key
    rows: int
    tile_rows: int
    ahead: int = sys.maxsize  # rows that may be out beyond the last folded one: what bounds memory
    next: int = 0
    folded: int = 0
    alone: deque[range] = field(default_factory=deque)  # tiles of a failed batch, asked again one by one

    @property
    def waiting(self) -> bool:
        return bool(self.alone) or self.next < min(self.rows, self.folded + self.ahead)

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
        self._waiting: dict[Ticket, Account] = {}  # tickets with sweeps here
        self._known: WeakKeyDictionary[Ticket, Account] = WeakKeyDictionary()  # and all that ever had one
        self._virtual = 0.0
        self._measured: dict[Ask, deque[tuple[float, int]]] = {}  # of the last batches: seconds, rows

    def submit(self, queue: Queue) -> None:
        """Add a sweep. Its ticket comes to the virtual time if it was away."""
        account = self._known.setdefault(queue.ticket, Account())
        if queue.ticket not in self._waiting:
            account.served = max(account.served, self._virtual)
            self._waiting[queue.ticket] = account
        account.queues.append(queue)

    def withdraw(self, queue: Queue) -> None:
        """Forget a sweep that has ended: its unborn rows are never born."""
        account = self._waiting.get(queue.ticket)
        if account is not None and queue in account.queues:
            account.queues.remove(queue)
            if not account.queues:
                del self._waiting[queue.ticket]

    def pick(self, room_for: Callable[[Ask], int], later: Collection[Key] = ()) -> Batch | None:
        """The next batch, of at most `room_for(ask)` rows but at least one tile; None where nothing waits.

        Rows of a key in `later` are left where they are, for those that are about to join them, unless they fill a
        batch. Dead tickets are dropped here.
        """
        for ticket in [t for t in self._waiting if not t.alive]:
            self._waiting.pop(ticket).queues.clear()
        ready = [(a, q) for a in self._waiting.values() for q in a.queues if q.waiting]
        for key in later:
            joined = [q for _, q in ready if q.key == key]
            if not any(q.alone for q in joined) and sum(q.rows - q.next for q in joined) < room_for(key[0]):
                ready = [(a, q) for a, q in ready if q.key != key]
        if not ready:
            return None
        lead, first = min(ready, key=_served)
        self._virtual = max(self._virtual, lead.served)
        # Charged at once, so that tickets alternate within the batch; corrected when the cost is measured.
        rate = self.rate(first.key[0]) or UNMEASURED
        if first.alone:
            tile = Tile(first, first.alone.popleft())
            lead.served += len(tile.rows) * rate / first.ticket.weight
            return Batch(first.key, (tile,), rate)
        tiles: list[Tile] = []
        room = room_for(first.key[0])
        same = [(a, q) for a, q in ready if q.key == first.key and not q.alone]
        while fits := [(a, q) for a, q in same if q.waiting and (not tiles or len(q.peek()) <= room)]:
            account, queue = min(fits, key=_served)
            rows = queue.peek()
            queue.next = rows.stop
            room -= len(rows)
            tiles.append(Tile(queue, rows))
            account.served += len(rows) * rate / queue.ticket.weight
        return Batch(first.key, tuple(tiles), rate)

    def settle(self, batch: Batch, seconds: float) -> None:
        """Correct the charges to the measured cost of the batch."""
        rate = seconds / batch.rows
        for tile in batch.tiles:
            ticket = tile.queue.ticket
            self._known[ticket].served += len(tile.rows) * (rate - batch.charged) / ticket.weight
        self._measured.setdefault(costing(batch.key[0]), deque(maxlen=REMEMBERED)).append((seconds, batch.rows))

    def refund(self, tiles: Iterable[Tile], charged: float) -> None:
        """Take back what tiles were charged that were not answered."""
        for tile in tiles:
            self._known[tile.queue.ticket].served -= len(tile.rows) * charged / tile.queue.ticket.weight

    def rate(self, ask: Ask) -> float | None:
        """Measured seconds a row over the last batches, without the slowest: a cold start or hiccup counts for little.

        Pooled, since the times of calls that run side by side are told alternately: one long, one next to nothing.
        """
        batches = sorted(self._measured.get(costing(ask), ()))
        batches = batches[:-1] if len(batches) > 2 else batches
        return sum(s for s, _ in batches) / sum(n for _, n in batches) if batches else None

    def retry(self, batch: Batch) -> None:
        """Ask the tiles of a failed batch again, each alone, so that only the guilty one fails."""
        self.refund(batch.tiles, batch.charged)
        for tile in batch.tiles:
            tile.queue.alone.append(tile.rows)


def _served(entry: tuple[Account, Queue]) -> float:
    return entry[0].served
