"""Errors cross from one process to another as they are."""

import pickle

import pytest
from sidelight.core import errors
from sidelight.rpc.violations import InvalidFields

EVERY = [
    errors.SidelightError("words"),
    errors.InvalidRequest("lime.samples", "at least 2"),
    errors.Unknown("model", "lineal", ["linear", "other"]),
    errors.Unsupported("NO_TWIN", "m", "it has no twin"),
    errors.ModelFailed("m", "shape"),
    errors.EditorFailed("e", "size"),
    errors.NonFinite("m"),
    errors.Exhausted("queue", "all places are taken", retry_after=2.5),
    errors.Unavailable("away", retry_after=3.0),
    errors.VersionGone("m", "1"),
    errors.DeadlineExceeded("late", 17),
    errors.Cancelled(),
    InvalidFields((errors.InvalidRequest("a", "b"), errors.InvalidRequest("c", "d"))),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda e: type(e).__name__)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
    fields = {name: str(value) for name, value in vars(error).items()}
    assert {name: str(value) for name, value in vars(again).items()} == fields
