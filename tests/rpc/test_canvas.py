"""How an edited frame becomes a model's pixels."""

import pytest
import torch
from sidelight.rpc.canvas import fitting
from sidelight.rpc.sources import Pixels
from small_models import CurvedPredictor


@pytest.mark.parametrize("size", [(12, 12), (16, 16), (24, 8)])
def test_a_frame_of_any_size_becomes_that_of_the_raw_pixels_it_was_made_of(size):
    """An editor may work at a size of its own, and raw pixels are sent at the model's."""
    source = Pixels(torch.full((3, 12, 12), 90.0))
    made = fitting(source, CurvedPredictor().spec())(torch.full((3, *size), 90, dtype=torch.uint8))
    assert torch.equal(made, source.pixels)
