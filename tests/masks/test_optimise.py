"""Masks by optimisation: the evidence that is there is found, alone and beside others, with what it is worth."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from mask_nets import RAW, Patch, image_job, iou, optimised, reddish, small_net
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import encode
from sidelight.core.stream import Stream
from sidelight.core.sweep import Meter, Stop, Stopped, metered
from sidelight.masks.images import ImageScene
from sidelight.masks.objective import UNCOUNTED, variation
from sidelight.masks.optimise import minimise, optimise
from sidelight.masks.options import IMAGE_CNN, Comprehensiveness, Optimiser, Rule

SIZE = (64, 60)
REGION = (slice(12, 40), slice(20, 52))
NAMES = ("terms", "objective", "kept", "removed", "mean", "step", "settled")


def planted(**more):
    net = Patch(REGION).double()
    return net, image_job(net, pixels=reddish(SIZE), space=RAW, baselines=(0.0,), **more)


def truth():
    found = torch.zeros(SIZE, dtype=torch.bool)
    found[REGION] = True
    return found


def counted(found):
    """What masks are compared by, step by step."""
    return [sum(values) for values in zip(*(c for n, c in found.terms.items() if n != UNCOUNTED), strict=True)]


def same(a, b):
    return all(getattr(a, name) == getattr(b, name) for name in NAMES) and all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in ("w", "sigma")
    )


# -- what is found ---------------------------------------------------------------------------------------------------


# log q has no end to it: the size must cost more before the outside does not matter any more.
FORMS = {Comprehensiveness.LOG_COMPLEMENT: 0.6, Comprehensiveness.LOG_RATIO: 6.0}


@pytest.mark.parametrize(("form", "size_weight"), FORMS.items())
def test_evidence_that_is_known_is_recovered(form, size_weight):
    net, job = planted()
    found = optimised(job, net, variation_weight=1.0, comprehensiveness=form, size_weight=size_weight)
    told = found.optimised[0]
    assert iou(found.maps[0], truth()) >= 0.9
    assert told.kept > 0.98
    assert told.removed < 0.02
    assert told.settled
    assert told.step == 250


def test_cells_of_several_pixels_recover_it_too():
    net, job = planted()
    found = optimised(job, net, variation_weight=1.0, steps=400, cell=2)
    assert iou(found.maps[0], truth()) >= 0.9
    assert found.optimised[0].w.shape == (32, 30)


def test_both_optimisers_are_what_they_are_called():
    net, job = planted()
    adam, other = (optimised(job, net, steps=30, optimiser=o).optimised[0] for o in Optimiser)
    assert not torch.equal(adam.w, other.w)


# -- what is told ----------------------------------------------------------------------------------------------------


def test_what_is_told_of_a_mask_is_true_of_it():
    net = small_net()
    job = image_job(net, size=(16, 12), baselines=(100.0, 20.0))
    found = optimised(job, net, steps=40)
    told, mask = found.optimised[0], found.maps[0]
    terms, p, q = [], [], []
    for x in (job.input, *job.others):
        z, b = encode(x.pixels, x.space).double(), encode(x.baseline, x.space).double()
        y = net(torch.stack([mask * z + (1 - mask) * b, (1 - mask) * z + mask * b])).detach()
        mixed = 0.99999 * (0.9 * y.softmax(1) + 0.1 * y.sigmoid())[:, 1] + 5e-6
        terms.append(-math.log(mixed[0]) - math.log(1 - mixed[1]))
        p.append(mixed[0].item())
        q.append(mixed[1].item())
    objective = sum(terms) / 2 + 0.6 * mask.mean().item() ** 2 + 10 * variation(mask).item()
    assert told.objective == pytest.approx(objective, rel=1e-5)
    assert told.kept == pytest.approx(sum(p) / 2, rel=1e-5)
    assert told.removed == pytest.approx(sum(q) / 2, rel=1e-5)
    assert told.mean == pytest.approx(mask.mean().item())
    assert not told.gradient_free


def test_every_term_is_told_for_every_step():
    net, job = planted()
    told = optimised(job, net, steps=12).optimised[0]
    assert set(told.terms) == {"kept", "removed", "size", "sigma", "variation"}
    assert all(len(curve) == 12 for curve in told.terms.values())
    assert optimised.answers.counts == {"gradient": 24}


def test_a_mask_that_has_settled_is_the_last_and_one_that_has_not_is_the_best():
    net, job = planted()
    quick = {"variation_weight": 200.0, "rate": 0.3}  # up for some steps before it goes down
    soon = {"rule": Rule.PERIODIC, "every": 1, "least_steps": 3, "settled": 0.9}
    settled = optimised(job, net, **quick, **soon).optimised[0]
    assert settled.settled
    assert settled.step == 3 == len(settled.terms["kept"]) - 1
    assert settled.objective == pytest.approx(counted(settled)[-1])
    assert settled.objective > 2 * min(counted(settled))
    never = optimised(job, net, **quick, rule=Rule.NEVER, steps=4).optimised[0]
    assert not never.settled
    assert counted(never) == counted(settled)
    assert never.step == counted(never).index(min(counted(never)))
    assert never.objective == pytest.approx(min(counted(never)))


# -- several at once -------------------------------------------------------------------------------------------------

APART = {"rule": Rule.DECREASE, "least_steps": 4, "settled": 0.0155, "size_weight": 2.0, "rate": 0.1, "steps": 60}


def test_two_targets_come_to_what_each_does_alone_and_one_that_has_settled_asks_no_more():
    net = small_net()

    def asked(*classes):
        job = image_job(net, size=(16, 12), classes=classes, baselines=(100.0, 20.0))
        # One row at a time: the network's own bits depend on how many it is given, as no test of a plan may.
        return optimised(job, net, tile=1, **APART), optimised.answers.counts["gradient"]

    (both, rows), (first, some), (second, others) = asked(0, 2), asked(0), asked(2)
    for t, alone in enumerate((first, second)):
        assert torch.equal(both.maps[t], alone.maps[0])
        assert same(both.optimised[t], alone.optimised[0])
    lengths = [len(told.terms["kept"]) for told in both.optimised]
    assert lengths[0] != lengths[1]
    assert rows == some + others == 4 * sum(lengths)


def test_the_preview_of_a_step_is_the_masks_of_all_targets_as_they_are():
    net = small_net()
    job = image_job(net, size=(16, 12), classes=(0, 2))
    previews = []

    def watched(plan):
        try:
            sweep = next(plan)
            while True:
                previews.append(sweep.fold.preview())
                sweep = plan.send((yield sweep))
        except StopIteration as end:
            return end.value

    found = inline(watched(optimise(job, replace(IMAGE_CNN, **APART))), Answers(net), 16, WIDE)
    assert all(p.shape == (2, 16, 12) for p in previews)
    assert not torch.equal(previews[0], previews[1])
    early = min(range(2), key=lambda t: found.optimised[t].step)
    assert torch.equal(previews[-1][early].double(), found.maps[early])
    assert not previews[-1].requires_grad


def test_the_same_request_gives_the_same_bits_in_whatever_tiles():
    net = small_net()
    job = image_job(net, size=(16, 12), baselines=(100.0, 20.0))
    one, two, other = (optimised(job, net, tile=tile, steps=20) for tile in (16, 16, 4))
    assert torch.equal(one.maps, two.maps)
    assert same(one.optimised[0], two.optimised[0])
    assert torch.equal(one.maps, other.maps)


# -- budget and deadline ---------------------------------------------------------------------------------------------


def within(rows, job, net, **changed):
    """The answer on a budget, and how the budget ended."""
    meter, answers = Meter(rows), Answers(net)
    return inline(metered(optimise(job, replace(IMAGE_CNN, **changed)), meter), answers, 16, WIDE), meter


def test_a_budget_gives_the_best_mask_so_far_and_says_that_it_has_not_settled():
    net, job = planted()
    found, meter = within(41, job, net)
    told = found.optimised[0]
    whole = optimised(job, net, steps=20)
    assert meter.stop is Stop.MAX_EVALUATIONS
    assert meter.rows_done == 41
    assert not told.settled
    assert torch.equal(found.maps, whole.maps)
    assert same(told, whole.optimised[0])
    assert told.objective == pytest.approx(min(counted(told)))


def test_a_budget_below_one_step_is_refused_with_what_a_step_takes():
    net = small_net()
    job = image_job(net, classes=(0, 1), baselines=(100.0, 20.0, 200.0))
    with pytest.raises(InvalidRequest, match=r"budget\.max_evaluations: at least 12"):
        within(11, job, net)


def stopped_after(asks, plan):
    """The plan, its deadline passing after so many asks."""
    try:
        sweep = next(plan)
        while True:
            if asks:
                asks -= 1
                sweep = plan.send((yield sweep))
            else:
                sweep = plan.throw(Stopped(Stop.DEADLINE))
    except StopIteration as end:
        return end.value


def test_a_deadline_gives_the_best_mask_so_far():
    net, job = planted()
    found = inline(stopped_after(7, optimise(job, IMAGE_CNN)), Answers(net), 16, WIDE)
    assert torch.equal(found.maps, optimised(job, net, steps=7).maps)
    assert not found.optimised[0].settled


def test_a_deadline_before_anything_was_asked_leaves_nothing():
    net, job = planted()
    with pytest.raises(Stopped):
        inline(stopped_after(0, optimise(job, IMAGE_CNN)), Answers(net), 16, WIDE)


# -- draws -----------------------------------------------------------------------------------------------------------


@dataclass
class Shaken:
    """A scene whose masks are changed at random in every step, by step."""

    scene: ImageScene
    stream: Stream

    @property
    def targets(self):
        return self.scene.targets

    def field(self, options):
        return self.scene.field(options)

    def rows(self, masks, targets, step, draws):
        if draws:
            u = torch.from_numpy(self.stream.uniform(range(step, step + 1), self.scene.shape[0])[0])
            masks = masks * (0.5 + 0.5 * u.view(-1, 1)).to(masks.dtype)
        return self.scene.rows(masks, targets, step, draws)


def shaken(plan=lambda plan: plan, seed=0, steps=15):
    net, job = planted()
    options = replace(IMAGE_CNN, noise=0.1, steps=steps)
    scene = Shaken(ImageScene(job, options), Stream(seed).child("shake"))
    answers = Answers(net)
    return inline(plan(minimise(job, scene, options)), answers, 16, WIDE), net, job, answers


def test_what_is_told_of_a_mask_is_without_draws():
    found, net, job, answers = shaken()
    told, mask = found.optimised[0], found.maps[0]
    p = net(job.input.blend(mask.float().unsqueeze(0), WIDE)["x"]).softmax(1)[0, 1].item()
    mixed = 0.9 * p + 0.1 * torch.logit(torch.tensor(p, dtype=torch.float64)).sigmoid().item()
    assert told.kept == pytest.approx(0.99999 * mixed + 5e-6, rel=1e-4)
    assert told.objective not in counted(told)
    own = 0.6 * mask.mean().item() ** 2 + 10 * variation(mask).item()
    model = -math.log(told.kept) - math.log(1 - told.removed)
    assert told.objective == pytest.approx(model + own, rel=1e-5) and own > 0.1
    assert answers.counts == {"gradient": 2 * 15 + 2}


def test_under_draws_a_mask_that_has_not_settled_is_the_last_and_not_the_luckiest():
    told = shaken(steps=5)[0].optimised[0]
    assert counted(told).index(min(counted(told))) == 3
    assert not told.settled
    assert told.step == 4


def test_draws_are_by_the_seed():
    (one, *_), (two, *_), (other, *_) = shaken(), shaken(), shaken(seed=1)
    assert same(one.optimised[0], two.optimised[0])
    assert not torch.equal(one.maps, other.maps)


def test_the_last_look_is_beyond_the_budget():
    meter = Meter(20)
    found, *_ = shaken(lambda plan: metered(plan, meter))
    assert meter.rows_done == 20
    assert meter.rows["gradient"] == 22
    assert found.optimised[0].kept > 0


def test_what_nobody_knows_after_a_deadline_is_not_a_number():
    found, *_ = shaken(lambda plan: stopped_after(5, plan))
    told = found.optimised[0]
    assert math.isnan(told.kept)
    assert math.isnan(told.removed)
    assert math.isnan(told.objective)
    assert told.mean == pytest.approx(found.maps[0].mean().item())


class Root(Patch):
    """Its output is finite everywhere, its gradient is not where a difference is 0: on the baseline's own colour."""

    def forward(self, x):
        y = super().forward(x)
        return y + (x - 0.0).abs().mean((1, 2, 3)).mul(0).sqrt().unsqueeze(1)


def test_a_gradient_that_is_not_finite_is_refused_by_name_and_never_becomes_a_mask():
    net = Root(REGION).double()
    job = image_job(net, pixels=reddish(SIZE), space=RAW, baselines=(0.0,))
    with pytest.raises(Unsupported) as refused:
        optimised(job, net)
    assert refused.value.reason == "NON_FINITE_GRADIENT"
