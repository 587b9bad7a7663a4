import itertools
import math

import numpy as np
import pytest
import torch
from inline import inline
from sidelight.core import registry
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput, TextInput, words
from sidelight.core.job import Job
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.core.target import Link, OutputKind, Target
from sidelight.methods.rise import RiseParams
from sidelight.perturbation.fields import ShiftedGrid
from sidelight.perturbation.samplers import Bernoulli

rise = registry.find("rise").plan


def job(x, classes=(0,), seed=1, tolerance=None, link=Link.LOGIT):
    return Job(Model("m", "1"), x, Target(OutputKind.LOGITS, link, classes), Stream(seed), tolerance, torch.zeros(2, 3))


def image(size=(9, 12), seed=0):
    u = torch.from_numpy(Stream(seed).child("image").uniform(range(3), size[0] * size[1])).float()
    return ImageInput("x", u.view(3, *size) * 255, torch.zeros(3, *size), PixelSpace(scale=1 / 255))


def smooth(_, columns):
    x = columns["x"].double().flatten(1)
    w = torch.linspace(-1, 1, x.shape[1], dtype=torch.float64)
    return {"y": torch.stack([(x @ w).tanh(), (x @ w.flip(0)).sin(), x.mean(1)], 1)}


def upsample(grid, size):
    """Bilinear, half-pixel centres, edges held: pixel by pixel, as a reader of the paper would write it."""
    out = np.zeros(size)
    for i, j in itertools.product(*map(range, size)):
        a, b = ((k + 0.5) * n / m - 0.5 for k, n, m in ((i, grid.shape[0], size[0]), (j, grid.shape[1], size[1])))
        a, b = (min(max(v, 0.0), n - 1.0) for v, n in ((a, grid.shape[0]), (b, grid.shape[1])))
        i0, j0 = math.floor(a), math.floor(b)
        i1, j1 = min(i0 + 1, grid.shape[0] - 1), min(j0 + 1, grid.shape[1] - 1)
        s, t = a - i0, b - j0
        out[i, j] = (1 - s) * ((1 - t) * grid[i0, j0] + t * grid[i0, j1]) + s * (
            (1 - t) * grid[i1, j0] + t * grid[i1, j1]
        )
    return out


def paper(x, params, seed, n):
    """RISE mask by mask in float64: upsample the whole grid, crop, multiply, add (eq. 6)."""
    stream = Stream(seed)
    cells = stream.child("cells").uniform(range(n), params.cells**2) < params.keep
    height, width = x.shape
    cell = (math.ceil(height / params.cells), math.ceil(width / params.cells))
    offsets = (stream.child("shift").uniform(range(n), 2) * cell).astype(int)
    total = np.zeros((3, height, width))
    for grid, (down, right) in zip(cells, offsets, strict=True):
        size = tuple((params.cells + 1) * c for c in cell)
        big = upsample(grid.reshape(params.cells, -1).astype(float), size)
        mask = big[down : down + height, right : right + width]
        row = torch.from_numpy(x.pixels.double().numpy() / 255 * mask).unsqueeze(0)
        total += smooth(None, {"x": row})["y"][0].numpy()[:, None, None] * mask
    return total / (n * params.keep)


@pytest.mark.parametrize(("cells", "keep", "size"), [(3, 0.5, (9, 12)), (4, 0.1, (10, 7)), (1, 0.5, (5, 5))])
def test_the_map_equals_the_papers_loop_in_float64(cells, keep, size):
    x, params = image(size), RiseParams(masks=40, cells=cells, keep=keep)
    got = inline(rise(job(x, (0, 1, 2), seed=3), params), smooth, tile=7).maps
    np.testing.assert_allclose(got.numpy(), paper(x, params, 3, 40), rtol=1e-4, atol=1e-5)


def test_on_a_linear_net_the_map_converges_to_its_closed_form():
    """E[f(I.M) M(u)]/p = sum_v w_v I_v E[M_v M_u]/p, the expectation taken over every mask and offset there is."""
    x, keep, cells = image((4, 4)), 0.4, 2
    field = ShiftedGrid((4, 4), cells, Stream(0))
    ay, ax = field._windows
    product = torch.zeros(16, 16, dtype=torch.float64)
    for bits in itertools.product([0.0, 1.0], repeat=4):
        weight = math.prod(keep if b else 1 - keep for b in bits) / 4
        for down, right in itertools.product(range(2), repeat=2):
            m = (ay[down] @ torch.tensor(bits).view(2, 2) @ ax[right].T).double().flatten()
            product += weight * torch.outer(m, m)
    w = torch.linspace(-1, 2, 48, dtype=torch.float64)
    per_pixel = (w.view(3, 16) * x.pixels.double().view(3, 16) / 255).sum(0)

    def linear(_, columns):
        return {"y": (columns["x"].double().flatten(1) @ w).unsqueeze(1)}

    saliency = inline(rise(job(x), RiseParams(masks=20_000, cells=cells, keep=keep)), linear, tile=500)
    expected = (product @ per_pixel / keep).view(4, 4)
    z = (saliency.maps[0] - expected) / saliency.standard_error[0]
    assert z.abs().max() < 4.5


def test_the_standard_error_covers_the_truth_as_often_as_it_says():
    """Nominal 95 % intervals of 300 repeats on a simulated game cover between 90 and 98 %."""
    truth = inline(rise(job(image(), seed=999), RiseParams(masks=60_000, cells=3)), smooth, tile=1000).maps[0]
    inside = []
    for seed in range(300):
        s = inline(rise(job(image(), seed=seed), RiseParams(masks=200, cells=3)), smooth, tile=200)
        inside.append(((s.maps[0] - truth).abs() <= 1.96 * s.standard_error[0]).double().mean())
    assert 0.90 <= torch.stack(inside).mean() <= 0.98


def test_every_pixel_is_kept_with_probability_p():
    field = ShiftedGrid((23, 31), 5, Stream(2).child("shift"))
    rows = range(6000)
    m = field.masks(Bernoulli(Stream(2).child("cells"), 25, 0.3).draw(rows), rows, Placement())
    assert (m.double().mean(0) - 0.3).abs().max() < 0.03 and m.min() >= 0 and m.max() <= 1


def test_all_classes_in_one_pass_equal_each_alone():
    params = RiseParams(masks=64, cells=3)
    together = inline(rise(job(image(), (2, 0)), params), smooth).maps
    for t, c in enumerate((2, 0)):
        alone = inline(rise(job(image(), (c,)), params), smooth).maps[0]
        torch.testing.assert_close(together[t], alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("tile", [1, 5, 64, 200])
def test_the_map_does_not_depend_on_how_rows_are_cut_into_tiles(tile):
    params = RiseParams(masks=120, cells=4)
    torch.testing.assert_close(
        inline(rise(job(image()), params), smooth, tile=tile).maps,
        inline(rise(job(image()), params), smooth, tile=16).maps,
        rtol=1e-5, atol=1e-7,
    )  # fmt: skip


def test_render_is_a_function_of_its_range():
    sweep = next(rise(job(image()), RiseParams(masks=50)))
    whole, mask = sweep.render(range(50), Placement())
    later, _ = sweep.render(range(30, 50), Placement())
    earlier, part = sweep.render(range(10, 30), Placement())
    torch.testing.assert_close(torch.cat([earlier["x"], later["x"]]), whole["x"][10:], rtol=0, atol=1e-6)
    torch.testing.assert_close(part, mask[10:30], rtol=0, atol=1e-6)


def test_a_tolerance_stops_early_and_never_before_256_rows():
    params = RiseParams(masks=20_000, cells=3)
    reached = inline(rise(job(image(), tolerance=0.06), params), smooth, tile=16)
    assert max(reached.relative_error) <= 0.06
    assert 256 < _rows_until_enough(job(image(), tolerance=0.06), params) < 10_000
    assert _rows_until_enough(job(image(), tolerance=1e9), params) == 256


def _rows_until_enough(the_job, params):
    sweep = next(rise(the_job, params))
    for start in range(0, params.masks, 16):
        columns, m = sweep.render(range(start, start + 16), Placement())
        sweep.fold.add(range(start, start + 16), m, smooth(None, columns))
        if sweep.fold.enough():
            return start + 16
    return None


def test_a_constant_model_has_a_flat_map_of_its_value_and_says_its_error():
    def constant(_, columns):
        return {"y": torch.full((len(columns["x"]), 1), 2.0)}

    s = inline(rise(job(image()), RiseParams(masks=4000, cells=3)), constant, tile=100)
    assert ((s.maps[0] - 2.0).abs() < 5 * s.standard_error[0]).all()


def test_words_that_decide_get_the_credit():
    text = "a truly wonderful film but dull"
    x = TextInput("text", text, words(text))

    def sentiment(_, columns):
        return {"y": torch.tensor([[2.0 * ("wonderful" in t) - 1.0 * ("dull" in t)] for t in columns["text"]])}

    scores = inline(rise(job(x), RiseParams(masks=3000)), sentiment, tile=100).maps[0]
    # E[f M_u]/p for f = 2 M_3 - M_6: 2p - p for bystanders, 2 - p and 2p - 1 for the two that count
    torch.testing.assert_close(scores, torch.tensor([0.5, 0.5, 1.5, 0.5, 0.5, 0.0]).double(), rtol=0, atol=0.12)
