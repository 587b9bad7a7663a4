"""The plan in the real engine: its tests in a process of its own, its rows on a lane."""

import numpy as np
import torch
from doubles import Letter, LinearPredictor
from inline import inline
from intervention_studio import LOGIT, answering, captured, job_of, params
from sidelight.core.explanation import explain
from sidelight.core.predictor import PixelSpace
from sidelight.core.registry import find
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label
from sidelight.interventions.options import Dependence


def test_a_captured_series_is_answered_as_without_an_engine():
    frames = [torch.from_numpy(np.random.default_rng(i).integers(0, 256, (3, 8, 8), np.uint8)) for i in range(14)]
    predictor = LinearPredictor()
    engine = Engine(local_processes=1)

    def plan():
        job = job_of(captured(frames), model="linear", space=PixelSpace(scale=1 / 255), pixels=frames[0].float())
        p = params(dependence=tuple(Dependence), permutations=1234)
        return explain(job, lambda y: LOGIT, find("interventional"), p)

    try:
        engine.add(predictor)
        engine.run(plan(), letter := Letter(), label=Label("interventional", "linear", "embedded"))
        found = letter.wait(60)
    finally:
        engine.close()
    alone = inline(plan(), answering({"linear": predictor.answer}, None))
    (a,), (b,) = found.result.responses, alone.result.responses
    assert (found.rows_done, found.evaluations, found.edits) == (14, 15, 0) and found.converged
    torch.testing.assert_close(a.effects[0].outputs, b.effects[0].outputs)
    assert a.effects[0].significance == b.effects[0].significance
    assert (
        a.effects[0].dependence["mutual_information"].p_value == b.effects[0].dependence["mutual_information"].p_value
    )
    assert a.effects[0].significance.permutations == 1234
    assert max(p.rows for p in letter.seen) == 15  # permutations are no evaluations of a model
