"""The service's masks of images against the paper's own optimiser, by the book, from the same start."""

import pytest
import torch
from mask_nets import RAW, Patch, image_job, optimised, reddish
from masks.replica import Question, optimise, overlap
from sidelight.core.inputs import encode
from sidelight.masks.options import Rule

SIZE, STEPS = (32, 28), 80
REGION = (slice(8, 24), slice(6, 20))
QUICK = {"rate": 0.1, "variation_weight": 1.0}  # so that the mask is near its end after so many steps


@pytest.fixture(scope="module")
def both():
    net = Patch(REGION).double()
    job = image_job(net, pixels=reddish(SIZE), space=RAW, baselines=(0.0, 255.0, 120.0))
    x, *baselines = (
        encode(pixels.double(), job.input.space)
        for pixels in (job.input.pixels, *(i.baseline for i in (job.input, *job.others)))
    )
    question = Question(net, x, torch.stack(baselines), 1, variation_weight=QUICK["variation_weight"])
    theirs = optimise(question, STEPS, rate=QUICK["rate"], dtype=torch.float64)
    return question, theirs, optimised(job, net, steps=STEPS, rule=Rule.NEVER, **QUICK)


def test_the_terms_are_the_replica_s_step_by_step(both):
    _, theirs, ours = both
    for name, curve in ours.optimised[0].terms.items():
        wanted = [getattr(step, name) for step in theirs.steps]
        assert max(wanted) > 1.1 * min(wanted)
        torch.testing.assert_close(torch.tensor(curve), torch.tensor(wanted), rtol=0.03, atol=2e-3)


def test_it_comes_to_the_replica_s_objective_and_mask(both):
    question, theirs, ours = both
    mask = ours.maps[0]
    assert 0.2 < float((mask >= 0.5).double().mean()) < 0.8
    assert overlap(mask, theirs.mask) >= 0.95
    assert question.worth(mask) == pytest.approx(question.worth(theirs.mask), rel=0.02)
    assert question.worth(mask) == pytest.approx(ours.optimised[0].objective, rel=1e-4)
