import pytest
import torch
from inline import inline
from sidelight.core.ask import Forward, Model
from sidelight.core.fold import Collect
from sidelight.core.sweep import Folded, Meter, Stop, Stopped, Sweep, ask, metered, together

M = Model("m", "1")


def sweep(size, scale=1.0, counts=True):
    def render(rows, on):
        return {"x": scale * torch.arange(rows.start, rows.stop, dtype=torch.float64).unsqueeze(1)}, None

    return Sweep(Forward(M), size, render, Collect("y"), counts=counts)


def echo(_, columns):
    return {"y": columns["x"]}


def steps(*sizes, scale=1.0):
    total = 0.0
    for size in sizes:
        folded = yield from ask(sweep(size, scale))
        total += folded.value.sum().item()
    return total


def test_together_gives_what_the_plans_give_alone():
    plans = [(3,), (2, 5), (1, 1, 4)]
    alone = tuple(inline(steps(*sizes, scale=i + 1.0), echo) for i, sizes in enumerate(plans))
    assert inline(together(*(steps(*sizes, scale=i + 1.0) for i, sizes in enumerate(plans))), echo) == alone


def test_together_merges_what_its_plans_ask_at_the_same_step():
    plan = together(steps(3, 4), steps(2))
    assert [s.size for s in next(plan)] == [3, 2]


def test_together_hands_tuples_back_to_the_plan_that_yielded_them():
    def pair():
        a, b = yield (sweep(2), sweep(3))
        return a.rows, b.rows

    assert inline(together(pair(), steps(1)), echo) == ((2, 3), 0.0)


def test_an_error_in_one_plan_closes_the_others():
    closed = []

    def other():
        try:
            yield sweep(1)
            yield sweep(1)
        finally:
            closed.append(True)

    def broken():
        yield sweep(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        inline(together(other(), broken()), echo)
    assert closed == [True]


def test_a_stop_reaches_every_plan_and_each_may_answer():
    def best_so_far():
        try:
            yield sweep(1)
            yield sweep(1)
        except Stopped as stopped:
            return stopped.stop

    plan = together(best_so_far(), best_so_far())
    next(plan)
    plan.send((Folded(None, 1, Stop.COMPLETE),) * 2)
    with pytest.raises(StopIteration) as end:
        plan.throw(Stopped(Stop.DEADLINE))
    assert end.value.value == (Stop.DEADLINE, Stop.DEADLINE)


def test_a_budget_cuts_sweeps_and_then_stops_the_plan():
    sizes = []

    def record(ask, columns):
        sizes.append(len(columns["x"]))
        return echo(ask, columns)

    meter = Meter(left=7)
    with pytest.raises(Stopped):
        inline(metered(steps(5, 5, 5), meter), record)
    assert sizes == [5, 2] and meter.rows_done == 7 and meter.stop is Stop.MAX_EVALUATIONS


def test_rows_that_do_not_count_spend_no_budget():
    def plan():
        yield from ask(sweep(9, counts=False))
        return (yield from ask(sweep(2)))

    meter = Meter(left=2)
    assert inline(metered(plan(), meter), echo).stop is Stop.COMPLETE
    assert meter.rows["forward"] == 11 and meter.rows_done == 2


def test_a_budget_over_a_tuple_is_spent_in_order():
    def plan():
        return (yield (sweep(3), sweep(3), sweep(3)))

    answers = inline(metered(plan(), Meter(left=4)), echo)
    assert [a.rows for a in answers] == [3, 1, 0]
    assert [a.stop for a in answers] == [Stop.COMPLETE, Stop.MAX_EVALUATIONS, Stop.MAX_EVALUATIONS]


def test_a_sweep_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        sweep(0)
