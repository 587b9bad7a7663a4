"""A map that an answer held at the input's resolution can be handed back to be measured."""

import numpy as np
import pytest
import torch
from sidelight.core.inputs import ImageInput
from sidelight.core.predictor import Fit, PixelSpace
from sidelight.methods.given import GivenParams
from sidelight.predictors.fit import fit, unfit
from sidelight.rpc.parameters import placed


@pytest.mark.parametrize("resize", [None, 40])
def test_a_map_at_the_inputs_resolution_keeps_its_values_up_to_the_edges_of_the_crop(resize):
    pixels, where = fit(np.zeros((3, 90, 150), np.float32), Fit((32, 32), resize))
    x = ImageInput("x", pixels, pixels, PixelSpace())
    y = torch.linspace(0, 1, 32)
    smooth = (y.view(-1, 1) * 2 + y).double()  # what is linear survives averaging, but for the outermost pixels
    at_input = unfit(smooth, where)
    assert at_input.isnan().any()
    back = placed(GivenParams(at_input), x, where, "given").map
    assert back.isfinite().all()
    torch.testing.assert_close(back, smooth, atol=0.05, rtol=0)


def test_a_hole_inside_the_crop_is_still_nothing_to_rank_by():
    pixels, where = fit(np.zeros((3, 64, 64), np.float32), Fit((16, 16)))
    at_input = torch.zeros(64, 64)
    at_input[8:40, 8:40] = torch.nan
    assert (
        placed(GivenParams(at_input), ImageInput("x", pixels, pixels, PixelSpace()), where, "given").map.isnan().any()
    )
