"""p-values over several properties, against examples by hand and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sidelight.interventions.correction import corrected
from sidelight.interventions.options import Correction

P = st.lists(st.floats(1e-6, 1), min_size=1, max_size=16)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04, times 4 3 2 1: .04 .06 .06 .04, none below its predecessor.
    assert corrected([0.03, 0.01, 0.04, 0.02], Correction.HOLM) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert corrected([0.5, 0.6], Correction.HOLM) == [1, 1]


def test_benjamini_and_hochberg_by_hand():
    # Sorted .01 .02 .03 .5, times 4 2 4/3 1: .04 .04 .04 .5.
    assert corrected([0.5, 0.03, 0.02, 0.01], Correction.BENJAMINI_HOCHBERG) == pytest.approx([0.5, 0.04, 0.04, 0.04])


@given(P)
def test_holm_rejects_what_stepping_down_rejects(p):
    adjusted = corrected(p, Correction.HOLM)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, i in enumerate(np.argsort(p, kind="stable").tolist()):
            if not p[i] * (len(p) - step) < level:
                break
            rejected.add(i)
        assert {i for i, a in enumerate(adjusted) if a < level} == rejected


@given(P)
def test_both_keep_the_order_and_are_no_smaller_than_what_they_correct(p):
    for how in (Correction.HOLM, Correction.BENJAMINI_HOCHBERG):
        adjusted = corrected(p, how)
        assert all(a >= b - 1e-12 and a <= 1 for a, b in zip(adjusted, p, strict=True))
        order = np.argsort(p, kind="stable")
        assert (np.diff(np.array(adjusted)[order]) >= -1e-12).all()
    assert corrected(p, Correction.BENJAMINI_HOCHBERG) == pytest.approx(false_discovery_control(p).tolist())
    assert corrected(p, Correction.NONE) == p


def test_one_property_needs_no_correction_and_none_has_none():
    for how in Correction:
        assert corrected([0.2], how) == [0.2]
        assert corrected([], how) == []
