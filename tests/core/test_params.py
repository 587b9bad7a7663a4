import pytest
from sidelight.core.errors import InvalidRequest
from sidelight.core.params import build
from sidelight.methods.rise import RiseParams


def test_defaults_stand_where_nothing_is_given():
    assert build(RiseParams, {"cells": 8}, "rise") == RiseParams(masks=4000, cells=8, keep=0.5)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"mask": 5}, "rise.mask"),
        ({"masks": 0}, "rise.masks"),
        ({"masks": 10**9}, "rise.masks"),
        ({"masks": 3.5}, "rise.masks"),
        ({"keep": 0.0}, "rise.keep"),
        ({"keep": 1.0}, "rise.keep"),
        ({"keep": float("nan")}, "rise.keep"),
        ({"cells": 65}, "rise.cells"),
    ],
)
def test_a_parameter_out_of_bounds_or_unknown_names_its_field(given, field):
    with pytest.raises(InvalidRequest) as refused:
        build(RiseParams, given, "rise")
    assert refused.value.field == field
