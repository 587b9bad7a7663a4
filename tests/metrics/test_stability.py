import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from inline import inline
from measured import bent, picture, subject
from sidelight import methods
from sidelight.core import metric
from sidelight.core.ask import Forward
from sidelight.core.errors import InvalidRequest
from sidelight.core.explanation import explain
from sidelight.core.fold import Fold
from sidelight.core.job import Saliency
from sidelight.core.registry import find, load
from sidelight.core.sweep import Folded, Meter, Stop, Stopped, Sweep, ask, metered
from sidelight.metrics.stability import StabilityParams, stability

X = picture((6, 7))


def drawn(job):
    """A method whose map is its first draw."""

    def rerun(stream):
        yield from ()
        return Saliency(torch.from_numpy(stream.child("map").normal(range(2), 42)).view(2, 6, 7))

    return rerun


def maps_of(repeats, first):
    s = subject(X, first, (0, 1))
    streams = [s.job.stream.child(f"stability.{i}") for i in range(repeats)]
    return [first, *(torch.from_numpy(st.child("map").normal(range(2), 42)).view(2, 6, 7) for st in streams)]


def spearman(a, b):
    ra, rb = (np.array([(v < x).sum() + ((v == x).sum() - 1) / 2 for x in v]) for v in (a, b))
    return np.corrcoef(ra, rb)[0, 1]


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize("repeats", [1, 2, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_agreement_is_the_mean_over_all_pairs_of_maps(repeats, ties):
    first = torch.randn(2, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if ties:
        first = first.round()
    s = subject(X, first, (0, 1))
    m = inline(stability(replace(s, rerun=drawn(s.job)), StabilityParams(repeats)), None)
    maps = [m.flatten(1).numpy() for m in maps_of(repeats, first)]
    for t in range(2):
        pairs = list(itertools.combinations([m[t] for m in maps], 2))
        assert m.values["spearman"][t].item() == pytest.approx(np.mean([spearman(a, b) for a, b in pairs]), abs=1e-12)
        assert m.values["cosine"][t].item() == pytest.approx(np.mean([cosine(a, b) for a, b in pairs]), abs=1e-12)


class Kept(Fold):
    """Sum of masks, weighted by the scores under them: [T, *shape]."""

    def __init__(self, target):
        self.target, self.sum = target, 0

    def add(self, rows, memo, out):
        self.sum = self.sum + torch.einsum("kt,khw->thw", self.target.score(out["y"]), memo.double())

    def value(self):
        return Saliency(self.sum)


def sampled(job, masks):
    """A method that draws: random pixels are kept."""

    def render(rows, on):
        m = torch.from_numpy(job.stream.child("keep").uniform(rows, 42) < 0.5).float().view(-1, 6, 7)
        return job.input.blend(m, on), m

    return (yield from ask(Sweep(Forward(job.model), masks, render, Kept(job.target)))).value


def sampled_subject(masks, rows=None):
    s = subject(X, torch.zeros(1, 6, 7))

    def rerun(stream):
        return metered(sampled(replace(s.job, stream=stream), masks), Meter(rows))

    return replace(s, maps=inline(rerun(s.job.stream), bent(X)).maps, rerun=rerun)


def test_more_masks_agree_better_under_other_draws():
    few, many = (inline(stability(sampled_subject(n), StabilityParams()), bent(X), 100) for n in (50, 3000))
    for name in ("spearman", "cosine"):
        assert few.values[name].item() < many.values[name].item()
    assert many.values["spearman"].item() > 0.9


def test_a_method_that_draws_nothing_agrees_with_itself():
    maps = torch.randn(1, 6, 7, dtype=torch.float64)

    def rerun(stream):
        yield from ()
        return Saliency(maps)

    m = inline(stability(subject(X, maps, rerun=rerun), StabilityParams()), None)
    assert m.values["spearman"].item() == pytest.approx(1) and m.values["cosine"].item() == pytest.approx(1)


def test_the_opposite_map_disagrees_by_as_much_as_can_be():
    maps = torch.randn(1, 6, 7, dtype=torch.float64)

    def rerun(stream):
        yield from ()
        return Saliency(-maps)

    m = inline(stability(subject(X, maps, rerun=rerun), StabilityParams(1)), None)
    assert m.values["spearman"].item() == pytest.approx(-1) and m.values["cosine"].item() == pytest.approx(-1)


def test_further_runs_side_by_side_spend_nothing_of_the_budget():
    s = sampled_subject(32)
    meter = Meter(left=0)
    m = inline(metered(stability(s, StabilityParams(3)), meter), bent(X))
    assert m.values["cosine"].shape == (1,)
    assert meter.rows["forward"] == 96 and meter.rows_done == 0


def test_further_runs_keep_the_budget_of_the_first():
    s = sampled_subject(1000, rows=48)
    meter = Meter()
    inline(metered(stability(s, StabilityParams(2)), meter), bent(X))
    assert meter.rows["forward"] == 96


def test_a_run_that_was_cut_short_from_outside_is_not_measured():
    plan = stability(sampled_subject(64), StabilityParams(2))
    sweeps = next(plan)
    value = Saliency(torch.randn(1, 6, 7))
    with pytest.raises(Stopped):
        plan.send(tuple(Folded(value, 16, Stop.DEADLINE) for _ in sweeps))


def test_a_map_alone_cannot_be_run_again():
    with pytest.raises(InvalidRequest, match="with an explanation") as refused:
        inline(stability(subject(X, torch.randn(1, 6, 7)), StabilityParams()), None)
    assert refused.value.field == "metrics.stability"


def test_a_map_that_is_the_same_everywhere_is_refused():
    s = subject(X, torch.ones(2, 6, 7), (0, 1), rerun=drawn(None))
    with pytest.raises(InvalidRequest, match="target 0 has the same value everywhere"):
        inline(stability(s, StabilityParams()), None)


def test_the_service_reruns_a_method_with_other_draws():
    """With its own draws again every method would agree with itself."""
    load(methods)
    rise, x = find("rise"), picture((14, 14))
    job = subject(x, torch.zeros(1, 14, 14)).job
    asked = [(metric.find("stability"), StabilityParams(1))]
    found = inline(explain(job, lambda y: job.target, rise, rise.params(masks=8), metrics=asked), bent(x))
    assert abs(found.measures[0].values["cosine"].item()) < 0.999
    assert found.measures[0].values["spearman"].item() < 0.95
