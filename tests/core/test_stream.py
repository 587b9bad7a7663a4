import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidelight.core.stream import Stream


@pytest.mark.parametrize("draw", [Stream.words, Stream.normal])
@given(st.integers(0, 2**64 - 1), st.integers(1, 200), st.integers(0, 40), st.integers(1, 40), st.integers(1, 20))
def test_any_chunking_gives_the_same_draws(draw, seed, width, start, count, chunk):
    stream = Stream(seed).child("a")
    whole = draw(stream, range(start, start + count), width)
    parts = [
        draw(stream, range(at, min(at + chunk, start + count)), width) for at in range(start, start + count, chunk)
    ]
    assert (np.concatenate(parts) == whole).all()


def test_streams_differ_by_seed_name_and_width():
    rows = range(64)
    a = Stream(1).child("a").uniform(rows, 4)
    for other in (Stream(2).child("a"), Stream(1).child("b"), Stream(1).child("a").child("a")):
        assert abs(np.corrcoef(a.ravel(), other.uniform(rows, 4).ravel())[0, 1]) < 0.25
    assert not np.isin(a, Stream(1).child("a").uniform(rows, 5)).any()


def test_rows_are_independent_of_each_other():
    u = Stream(3).child("a").uniform(range(4000), 3)
    assert len(np.unique(u)) == u.size
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.06


def test_uniform_normal_and_integers_have_their_moments():
    stream, rows = Stream(5), range(20_000)
    u, z, k = stream.child("u").uniform(rows, 5), stream.child("z").normal(rows, 5), stream.child("k")
    assert abs(u.mean() - 0.5) < 0.004 and abs(u.var() - 1 / 12) < 0.002 and (u >= 0).all() and (u < 1).all()
    assert abs(z.mean()) < 0.015 and abs(z.var() - 1) < 0.02 and np.isfinite(z).all()
    counts = np.bincount(k.integers(rows, 5, 7).ravel(), minlength=7)
    assert len(counts) == 7 and (abs(counts / counts.sum() - 1 / 7) < 0.006).all()


def test_normal_numbers_have_the_distribution_of_normal_numbers_and_those_of_a_pair_are_independent():
    z = Stream(6).normal(range(1000), 200)
    edges = np.linspace(-3, 3, 25)
    expected = np.diff([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in edges])
    found = np.histogram(z, edges)[0] / z.size
    assert abs(found - expected).max() < 0.002
    one, other = z[:, :100].ravel(), z[:, 100:].ravel()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.015 and abs(np.corrcoef(one**2, other**2)[0, 1]) < 0.015
    assert abs((z > 3).mean() - 0.00135) < 0.0003 and abs((z < -3).mean() - 0.00135) < 0.0003
