"""The scheduler by itself: pure data, driven by hand and by Hypothesis."""

import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sidelight.core.ask import Forward, Model
from sidelight.engine.scheduler import Queue, Scheduler, Ticket

A, B = Forward(Model("a", "1")), Forward(Model("b", "1"))


def queue(ticket, rows, ask=A, tile=8):
    return Queue(ticket, (ask, ()), rows, tile)


def room(_):
    return 32


def drain(scheduler, seconds=0.01, limit=1000):
    batches = []
    while (batch := scheduler.pick(room)) and len(batches) < limit:
        scheduler.settle(batch, seconds * batch.rows)
        batches.append(batch)
    return batches


def test_rows_of_two_requests_meet_in_one_batch():
    s = Scheduler()
    a, b = queue(Ticket(), 16), queue(Ticket(), 16)
    s.submit(a)
    s.submit(b)
    batch = s.pick(room)
    assert {t.queue for t in batch.tiles} == {a, b} and batch.rows == 32


def test_rows_with_different_asks_never_share_a_batch():
    s = Scheduler()
    s.submit(queue(Ticket(), 16, A))
    s.submit(queue(Ticket(), 16, B))
    assert [len({t.queue.key for t in b.tiles}) for b in drain(s)] == [1, 1]


def test_a_small_request_behind_a_large_one_is_done_within_its_fair_share():
    s = Scheduler()
    s.submit(queue(Ticket(), 20_000))
    for _ in range(50):
        s.settle(s.pick(room), 0.32)
    small = queue(Ticket(), 64)
    s.submit(small)
    batches = 0
    while small.waiting:
        s.settle(s.pick(room), 0.32)
        batches += 1
    assert batches <= 2 * math.ceil(64 / 32)


def test_cost_is_shared_in_seconds_not_rows():
    """Rows of b cost four times as much, so b gets a quarter of the rows."""
    s = Scheduler()
    s.submit(queue(Ticket(), 10**6, A))
    s.submit(queue(Ticket(), 10**6, B))
    rows = {A: 0, B: 0}
    for _ in range(500):
        batch = s.pick(room)
        rows[batch.key[0]] += batch.rows
        s.settle(batch, batch.rows * (0.04 if batch.key[0] is B else 0.01))
    assert 3.4 < rows[A] / rows[B] < 4.6


def test_a_ticket_of_weight_two_gets_twice_the_rows():
    s = Scheduler()
    heavy, light = queue(Ticket(weight=2.0), 10**6), queue(Ticket(), 10**6)
    s.submit(heavy)
    s.submit(light)
    for _ in range(100):
        s.settle(s.pick(room), 0.32)
    assert 1.8 < heavy.next / light.next < 2.2


def test_a_ticket_that_was_away_gets_no_credit_for_it():
    s = Scheduler()
    away, steady = Ticket(), queue(Ticket(), 10**6)
    first = queue(away, 8)
    s.submit(first)
    s.submit(steady)
    for _ in range(200):
        s.settle(s.pick(room), 0.32)
    back, before = queue(away, 10**6), steady.next
    s.withdraw(first)
    s.submit(back)
    for _ in range(50):
        s.settle(s.pick(room), 0.32)
    assert 0.8 < back.next / (steady.next - before) < 1.25


def test_a_ticket_that_comes_back_at_once_still_owes_what_it_was_served():
    """Many small sweeps, one after another, get no more than one large one."""
    s = Scheduler()
    small, steady = Ticket(), queue(Ticket(), 10**6)
    s.submit(steady)
    rows = 0
    for _ in range(300):
        q = queue(small, 8)
        s.submit(q)
        while q.waiting:
            s.settle(s.pick(lambda ask: 8), 0.08)
        s.withdraw(q)
        rows += 8
    assert 0.8 < rows / steady.next < 1.25


def test_a_ticket_with_rows_in_two_lanes_has_an_account_in_each():
    here, there, ticket = Scheduler(), Scheduler(), Ticket()
    a, b = queue(ticket, 8), queue(ticket, 8)
    here.submit(a)
    there.submit(b)
    assert [t.queue for t in here.pick(room).tiles] == [a] and here.pick(room) is None
    assert [t.queue for t in there.pick(room).tiles] == [b] and there.pick(room) is None


def test_dead_tickets_are_dropped_when_picking():
    s = Scheduler()
    dead, alive = queue(Ticket(), 64), queue(Ticket(), 8)
    s.submit(dead)
    s.submit(alive)
    dead.ticket.alive = False
    assert [t.queue for b in drain(s) for t in b.tiles] == [alive]
    assert dead.next == 0


def test_tiles_of_a_failed_batch_are_asked_again_each_alone():
    s = Scheduler()
    for _ in range(3):
        s.submit(queue(Ticket(), 8))
    failed = s.pick(room)
    s.retry(failed)
    again = drain(s)
    assert [len(b.tiles) for b in again] == [1, 1, 1]
    assert {b.tiles[0].queue for b in again} == {t.queue for t in failed.tiles}


def test_a_failed_batch_costs_nobody_anything_until_it_is_answered():
    s = Scheduler()
    for _ in range(2):
        s.submit(queue(Ticket(), 16))
    s.settle(s.pick(room), 0.8)
    for _ in range(2):
        s.submit(queue(Ticket(), 8))
    before = {t: account.served for t, account in s._known.items()}
    s.retry(s.pick(room))
    assert {t: account.served for t, account in s._known.items()} == before


def test_the_rate_of_calls_that_run_side_by_side_is_their_pooled_cost():
    """Two calls at once end together: the first is told all the time, the second next to none."""
    s = Scheduler()
    s.submit(queue(Ticket(), 10**6))
    s.settle(s.pick(room), 30.0)  # a cold start
    for i in range(14):
        s.settle(s.pick(room), 0.0 if i % 2 else 0.64)
    assert 0.008 < s.rate(A) < 0.0125


def test_copies_of_a_twin_with_other_weights_cost_alike_and_are_remembered_as_one():
    s = Scheduler()
    for seed in range(50):
        s.submit(Queue(Ticket(), (Forward(Model("a", "1", f"randomised:head:{seed}")), ()), 8, 8))
        s.settle(s.pick(room), 0.8)
    assert 0.099 < s.rate(Forward(Model("a", "1", "randomised:stem:7"))) < 0.101
    assert len(s._measured) == 1
    assert s.rate(Forward(Model("a", "1", "twin"))) is None and s.rate(A) is None


def test_a_sweep_is_never_further_ahead_of_its_fold_than_allowed():
    s = Scheduler()
    q = Queue(Ticket(), (A, ()), 1000, 8, ahead=64)
    s.submit(q)
    assert sum(b.rows for b in drain(s)) == 64
    q.folded = 32
    assert sum(b.rows for b in drain(s)) == 32


class Machine(RuleBasedStateMachine):
    """Requests come, go, fail and die in any order."""

    def __init__(self):
        super().__init__()
        self.s = Scheduler()
        self.queues: list[Queue] = []
        self.flying = []
        self.seen: dict[Queue, list[range]] = {}
        self.failed: dict[Queue, int] = {}

    @rule(rows=st.integers(1, 100), ask=st.sampled_from([A, B]), weight=st.sampled_from([1.0, 3.0]))
    def come(self, rows, ask, weight):
        q = queue(Ticket(weight), rows, ask)
        self.queues.append(q)
        self.s.submit(q)

    @precondition(lambda self: self.queues)
    @rule(data=st.data(), rows=st.integers(1, 50))
    def ask_more(self, data, rows):
        ticket = data.draw(st.sampled_from(self.queues)).ticket
        if ticket.alive:
            q = queue(ticket, rows)
            self.queues.append(q)
            self.s.submit(q)

    @rule(size=st.sampled_from([1, 8, 20, 64]))
    def pick(self, size):
        waiting = [q for q in self.queues if q.ticket.alive and q.waiting]
        batch = self.s.pick(lambda ask: size)
        assert (batch is None) == (not waiting)
        if batch is None:
            return
        assert len(batch.tiles) == 1 or batch.rows <= size
        assert {t.queue.key for t in batch.tiles} == {batch.key}
        assert all(t.queue.ticket.alive for t in batch.tiles)
        for tile in batch.tiles:
            assert tile.rows.start % 8 == 0 and tile.rows.stop == min(tile.rows.start + 8, tile.queue.rows)
            self.seen.setdefault(tile.queue, []).append(tile.rows)
        self.flying.append(batch)

    @precondition(lambda self: self.flying)
    @rule(seconds=st.floats(0, 10))
    def settle(self, seconds):
        self.s.settle(self.flying.pop(0), seconds)

    @precondition(lambda self: self.flying)
    @rule()
    def fail(self):
        batch = self.flying.pop()
        for tile in batch.tiles:
            self.seen[tile.queue].remove(tile.rows)
        self.s.retry(batch)

    @precondition(lambda self: self.queues)
    @rule(data=st.data())
    def die(self, data):
        data.draw(st.sampled_from(self.queues)).ticket.alive = False

    @precondition(lambda self: self.queues)
    @rule(data=st.data())
    def withdraw(self, data):
        q = data.draw(st.sampled_from(self.queues))
        self.s.withdraw(q)
        self.queues.remove(q)

    @invariant()
    def no_row_is_picked_twice_or_lost(self):
        for q in self.queues:
            seen = sorted([*self.seen.get(q, []), *q.alone], key=lambda r: r.start)
            assert [r.start for r in seen] == list(range(0, q.next, 8))


TestMachine = Machine.TestCase
