import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from inline import inline
from measured import Linear, bent, picture, run, subject
from sidelight import methods, metrics
from sidelight.core import metric
from sidelight.core.ask import Model
from sidelight.core.explanation import explain
from sidelight.core.job import Job
from sidelight.core.registry import find, load
from sidelight.core.stream import Stream
from sidelight.core.sweep import Folded, Meter, Placement, Stop, Stopped, metered
from sidelight.core.target import Link, OutputKind, Target
from sidelight.metrics.paths import Path, area, round_half_up, rows_of, turns, walk

SMALL = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


@given(SMALL, st.booleans())
def test_equal_values_have_their_turn_in_reading_order_whichever_the_direction(values, most_first):
    order = sorted(range(len(values)), key=lambda u: -values[u] if most_first else values[u])  # stable
    turn = turns(torch.tensor([values], dtype=torch.float64), most_first)[0]
    assert turn[order].tolist() == list(range(len(values)))


@given(st.integers(1, 500), st.integers(1, 60))
def test_steps_are_equal_shares_to_the_nearest_unit(units, steps):
    steps = min(steps, units)
    counts = [round_half_up(k * units, steps) for k in range(steps + 1)]
    assert counts[0] == 0 and counts[-1] == units
    assert all(a < b for a, b in itertools.pairwise(counts))
    assert all(abs(n - k * units / steps) <= 0.5 for k, n in enumerate(counts))


def walked(x, maps, classes=(0,), steps=5, answer=None, tile=7, paths=None):
    s = subject(x, maps, classes)
    paths = paths or [Path(turns(s.maps, True)), Path(turns(s.maps, False)), Path(turns(s.maps, True), shows=True)]
    return run(walk(s.job, paths, steps), answer or bent(x), tile)


def test_every_curve_equals_one_image_after_another_in_float64():
    x, maps = picture((4, 6)), torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    got = walked(x, maps, classes=(2, 0), steps=5)
    model = bent(x)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (x.space.mean, x.space.std))
    for t, c in enumerate((2, 0)):
        ranked = sorted(range(24), key=lambda u: -maps[t].flatten()[u])
        for path, (order, shows) in enumerate([(ranked, False), (ranked[::-1], False), (ranked, True)]):
            for k in range(6):
                n = math.floor(k * 24 / 5 + 0.5)
                shown = set(order[:n]) if shows else set(order[n:])
                image = x.baseline.double().clone()
                for u in shown:
                    image[:, u // 6, u % 6] = x.pixels[:, u // 6, u % 6].double()
                y = model(None, {"x": ((image * x.space.scale - mean) / std).unsqueeze(0)})["y"][0, c]
                assert got[path, t, k] == pytest.approx(y.item(), abs=1e-6)


@pytest.mark.parametrize("tile", [1, 2, 3, 100])
def test_curves_do_not_depend_on_how_rows_are_cut_into_tiles(tile):
    x, maps = picture((5, 5)), torch.randn(2, 5, 5)
    torch.testing.assert_close(walked(x, maps, (0, 1), tile=tile), walked(x, maps, (0, 1)), rtol=0, atol=1e-6)


def test_all_targets_in_one_sweep_equal_each_alone():
    x, maps = picture((5, 5)), torch.randn(3, 5, 5)
    together = walked(x, maps, (2, 0, 1))
    for t, c in enumerate((2, 0, 1)):
        torch.testing.assert_close(together[:, t], walked(x, maps[t : t + 1], (c,))[:, 0], rtol=0, atol=1e-6)


def test_render_is_a_function_of_its_range():
    x = picture((5, 5))
    s = subject(x, torch.randn(2, 5, 5), (0, 1))
    sweep = next(walk(s.job, [Path(turns(s.maps, True)), Path(turns(s.maps, False))], 5))
    whole, targets = sweep.render(range(sweep.size), Placement())
    parts = [sweep.render(range(a, b), Placement()) for a, b in [(9, sweep.size), (0, 4), (4, 9)]]
    order = [1, 2, 0]
    torch.testing.assert_close(torch.cat([parts[i][0]["x"] for i in order]), whole["x"], rtol=0, atol=0)
    torch.testing.assert_close(torch.cat([parts[i][1] for i in order]), targets, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("paths", "steps", "size", "targets"), [(1, 10, (5, 5), 1), (2, 1, (5, 5), 3), (2, 9, (1, 4), 2)]
)
def test_the_cost_is_the_rows_of_the_one_sweep(paths, steps, size, targets):
    s = subject(picture(size), torch.randn(targets, *size), tuple(range(targets)))
    sweep = next(walk(s.job, [Path(turns(s.maps, True))] * paths, steps))
    assert sweep.size == rows_of(paths, steps, size, targets)
    assert not sweep.counts


def test_measuring_spends_nothing_of_the_methods_budget():
    x = picture((5, 5))
    s = subject(x, torch.randn(1, 5, 5))
    meter = Meter(left=0)
    curves = inline(metered(walk(s.job, [Path(turns(s.maps, True))], 5), meter), bent(x))
    assert curves.shape == (1, 1, 6) and meter.left == 0 and meter.rows_done == 0
    assert meter.rows["forward"] == 6


def test_a_sweep_that_was_cut_short_is_no_curve():
    x = picture((5, 5))
    s = subject(x, torch.randn(1, 5, 5))
    plan = walk(s.job, [Path(turns(s.maps, True))], 5)
    sweep = next(plan)
    columns, memo = sweep.render(range(4), Placement())
    sweep.fold.add(range(4), memo, bent(x)(None, columns))
    with pytest.raises(Stopped) as stopped:
        plan.send(Folded(sweep.fold.value(), 4, Stop.DEADLINE))
    assert stopped.value.stop is Stop.DEADLINE


def test_the_area_is_the_trapezoids_over_shares():
    assert area(torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0]])).tolist() == [1.0, 0.5, 0.5]


def test_the_scores_are_of_the_target_and_its_link():
    x = picture((4, 4))
    model = Linear(x)
    s = subject(x, torch.randn(1, 4, 4), (1,), Link.PROBABILITY)
    (curve,) = run(walk(s.job, [Path(turns(s.maps, True))], 3), lambda a, c: {"y": model(a, c)["y"] / 30})[:, 0]
    assert ((curve > 0) & (curve < 1)).all()


def test_a_score_that_is_not_finite_costs_its_metric_and_not_the_explanation():
    """A probability of 0 on a half-hidden input has no logarithm; the map and the other metrics are worth having."""
    x, target = picture((4, 4)), Target(OutputKind.PROBABILITIES, Link.LOG_PROBABILITY, (0,))
    shares, asked_of = iter([0.5, 0.25]), []  # input and baseline, asked for first

    def answer(ask, columns):
        asked_of.append(len(columns["x"]))
        p = torch.tensor([next(shares, 0.0) for _ in columns["x"]], dtype=torch.float64)
        return {"y": torch.stack([p, 1 - p], 1)}

    load(methods), load(metrics)
    srg, mass = metric.find("srg"), metric.find("mass_in_mask")
    asked = [(srg, srg.params()), (mass, mass.params(mask=torch.ones(4, 4)))]
    given = find("given")
    job = Job(Model("m", "1"), x, target, Stream(0))
    found = run(explain(job, lambda y: target, given, given.params(map=torch.ones(4, 4)), metrics=asked), answer)
    reason, measure = found.measures
    assert "not finite" in reason
    assert asked_of == [2, 7]  # what follows is not asked for
    assert float(measure.values["mass"][0]) == 1
