"""TF32 on CUDA: off within a twin's passes, as it was found afterwards, whichever of several passes ends first."""

import pytest
import torch
from sidelight.predictors.layers import undisturbed
from torch import nn


def flags():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(params=[(True, False), (True, True)], ids=["as torch has it", "asked for"])
def found(request):
    before = flags()
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = request.param
    yield request.param
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_within_a_pass_numbers_have_all_their_bits_and_afterwards_the_flags_are_as_found(found):
    with undisturbed(nn.Identity()):
        assert flags() == (False, False)
    assert flags() == found
    with pytest.raises(ValueError, match="in the middle"), undisturbed(nn.Identity()):
        raise ValueError("in the middle")
    assert flags() == found


def test_the_last_of_passes_that_overlap_puts_the_flags_back(found):
    first, second = undisturbed(nn.Identity()), undisturbed(nn.Identity())
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert flags() == (False, False)
    second.__exit__(None, None, None)
    assert flags() == found
