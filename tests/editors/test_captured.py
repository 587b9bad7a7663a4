"""Captured images are there already: as they were sent, at the strengths that they were sent with."""

import pytest
import torch
from editor_cases import CPU, SERIES, canvas, photo, series
from sidelight.core.editor import Captured
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.sequence import Sequence
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.editors.captured import CapturedParams
from sidelight.editors.store import FrameStore

ON = canvas(SERIES.frames[0], SERIES)


def prepared(on=ON):
    return series().prepare(CapturedParams(), on, Stream(0))


def test_its_scale_is_the_series_own():
    falling = Captured(SERIES.frames, (3.0, 2.0, -1.0), "km")
    s = series().scale(CapturedParams(), canvas(SERIES.frames[0], falling))
    assert (s.unit, s.low, s.high, s.first, s.last, s.count, s.neutral) == ("km", -1.0, 3.0, 3.0, -1.0, 3, 3.0)


def test_frames_are_the_callers_own_whatever_their_sizes():
    frames = (photo(0, (8, 8)), photo(1, (9, 7)))
    found = prepared(canvas(frames[0], Captured(frames, (0.0, 1.0)))).frames
    assert all(torch.equal(a, b) for a, b in zip(found, frames, strict=True))


def test_a_sequence_of_them_asks_nobody():
    ready, store = prepared(), FrameStore(0)
    series = Sequence("turntable", "captured", "degree", SERIES.strengths, ready, store, original=ON.pixels)
    with pytest.raises(StopIteration) as end:
        next(series.frames(SERIES.strengths))
    assert all(torch.equal(end.value.value[s], f) for s, f in zip(SERIES.strengths, SERIES.frames, strict=True))


def test_a_request_without_images_is_told_to_send_them():
    for ask in (series().scale, lambda p, c: series().prepare(p, c, Stream(0))):
        with pytest.raises(InvalidRequest, match=r"input\.series"):
            ask(CapturedParams(), canvas(photo()))


def test_there_are_no_other_strengths_and_nothing_is_edited():
    with pytest.raises(InvalidRequest, match=r"input\.series"):
        prepared().rows([15.0], Placement(CPU))
    with pytest.raises(Unsupported):
        series().edit(prepared().ask, [], lambda: True)
