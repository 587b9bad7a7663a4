import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.perturbation import fields
from sidelight.perturbation.fields import Grid, Groups, Segments, Units, default_sigma


def numbers(*shape, seed=0, name="n"):
    u = Stream(seed).child(name).uniform(range(shape[0]), int(np.prod(shape[1:])))
    return torch.from_numpy(u).view(shape).float()


def patches(shape, count, seed=0):
    """Labels of a Voronoi diagram of random points, every one of them in use."""
    points = np.floor(Stream(seed).child("points").uniform(range(count), 2) * shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    nearest = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(-1)
    return torch.from_numpy(np.unique(nearest, return_inverse=True)[1].reshape(shape))


def hard(labels):
    """Hard masks [M, H, W] in float64."""
    return np.stack([labels.numpy() == s for s in range(int(labels.max()) + 1)]).astype(np.float64)


def soft_by_scipy(labels, sigma):
    masks = np.stack([gaussian_filter(m, sigma) for m in hard(labels)])
    return masks / masks.sum(0)


def soft_by_pixel(shape, cells):
    """Bilinear masks of a grid, half-pixel centres and edges held, pixel by pixel."""
    out = np.zeros((cells * cells, *shape))
    for i, j in itertools.product(*map(range, shape)):
        for a, b in itertools.product(range(cells), repeat=2):
            out[a * cells + b, i, j] = _tent(i, shape[0], a, cells) * _tent(j, shape[1], b, cells)
    return out


def _tent(pixel, pixels, cell, cells):
    at = min(max((pixel + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
    return max(0.0, 1.0 - abs(at - cell))


def grid_labels(shape, cells):
    rows, columns = ([int((i + 0.5) * cells / n) for i in range(n)] for n in shape)
    return torch.tensor([[a * cells + b for b in columns] for a in rows])


SHAPES = [(9, 12), (12, 9), (7, 7), (23, 16)]
LABELS = patches((31, 22), 9)
FIELDS = {
    "grid": lambda: Grid((31, 22), 3),
    "bilinear": lambda: Grid((31, 22), 3, "bilinear"),
    "gaussian grid": lambda: Grid((31, 22), 3, "gaussian", 2.5),
    "segments": lambda: Segments(LABELS),
    "gaussian segments": lambda: Segments(LABELS, 2.5),
    "groups": lambda: Groups(torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8])),
    "units": lambda: Units(9),
}


@pytest.fixture(params=FIELDS)
def field(request):
    return FIELDS[request.param]()


def masks(field, z, rows=None):
    return field.masks(z, rows or range(len(z)), Placement())


# -- each field equals its slow replica -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cells", [1, 2, 7])
def test_the_masks_of_a_grid_are_those_of_its_cells_pixel_by_pixel(shape, cells):
    labels = grid_labels(shape, cells)
    grid, z = Grid(shape, cells), numbers(5, cells * cells)
    assert grid.labels.equal(labels)
    want = np.tensordot(z.double().numpy(), hard(labels), 1)
    np.testing.assert_allclose(masks(grid, z).numpy(), want, rtol=0, atol=1e-6)
    sizes = hard(labels).sum((1, 2))
    assert sizes.min() > 0 and sizes.max() - sizes.min() <= (shape[0] + shape[1]) / cells + 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cells", [1, 2, 7])
def test_bilinear_masks_are_those_of_each_cell_interpolated_pixel_by_pixel(shape, cells):
    z = numbers(5, cells * cells)
    want = np.tensordot(z.double().numpy(), soft_by_pixel(shape, cells), 1)
    np.testing.assert_allclose(masks(Grid(shape, cells, "bilinear"), z).numpy(), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("cells", "sigma"), [(1, 1.0), (3, 0.3), (3, 2.0), (7, 3.5)])
def test_gaussian_masks_of_a_grid_are_scipys_of_each_cell(shape, cells, sigma):
    z = numbers(5, cells * cells)
    want = np.tensordot(z.double().numpy(), soft_by_scipy(grid_labels(shape, cells), sigma), 1)
    np.testing.assert_allclose(masks(Grid(shape, cells, "gaussian", sigma), z).numpy(), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [*SHAPES, (40, 57)])
@pytest.mark.parametrize("sigma", [0.3, 2.0, 3.5])
def test_gaussian_masks_of_segments_are_scipys_of_each_segment(shape, sigma):
    labels = patches(shape, 8, seed=3)
    z = numbers(5, int(labels.max()) + 1)
    want = np.tensordot(z.double().numpy(), soft_by_scipy(labels, sigma), 1)
    np.testing.assert_allclose(masks(Segments(labels, sigma), z).numpy(), want, rtol=0, atol=1e-6)


def test_hard_segments_show_each_pixel_its_own_segments_number():
    z = numbers(4, int(LABELS.max()) + 1)
    got = masks(Segments(LABELS), z)
    for n, i, j in itertools.product(range(4), range(31), range(22)):
        assert got[n, i, j] == z[n, LABELS[i, j]]


def test_a_segment_in_two_pieces_is_blurred_as_one():
    labels = torch.zeros(20, 20, dtype=torch.int64)
    labels[2:5, 2:5] = labels[14:19, 15:20] = 1
    want = soft_by_scipy(labels, 1.5)[1]
    np.testing.assert_allclose(masks(Segments(labels, 1.5), torch.tensor([[0.0, 1.0]]))[0].numpy(), want, atol=1e-6)


def test_words_of_a_sentence_are_kept_together():
    groups = Groups(torch.tensor([0, 0, 1, 1, 1]))
    assert masks(groups, torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]


# -- what all of them promise -----------------------------------------------------------------------------------------


def test_the_row_that_keeps_all_is_exactly_one_and_the_empty_row_zero(field):
    ends = masks(field, torch.stack([torch.ones(field.units), torch.zeros(field.units)]))
    assert (ends[0] == 1).all() and (ends[1] == 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grid((224, 224), 7, "gaussian"),
        lambda: Grid((251, 301), 13, "bilinear"),
        lambda: Grid((97, 224), 64, "gaussian", 31.0),
        lambda: Segments(patches((120, 160), 300), 8.0),
        lambda: Segments(torch.arange(1024).view(32, 32), 16.0),
    ],
    ids=["gaussian", "bilinear", "many cells", "many segments", "every pixel"],
)
def test_all_kept_leaves_the_image_untouched_to_the_last_bit_at_real_sizes(make):
    field = make()
    full = masks(field, torch.ones(1, field.units))
    x = numbers(3, *full.shape[1:]) * 255
    image = ImageInput("x", x, numbers(3, *full.shape[1:], name="b") * 255, PixelSpace())
    assert (full == 1).all()
    whole = torch.ones_like(full)
    assert image.blend(full, Placement())["x"].equal(image.blend(whole, Placement())["x"])
    z = (numbers(20, field.units, name="z") < 0.5).float()
    some = masks(field, z)
    assert some.min() >= 0 and some.max() <= 1 + 1e-6


def test_masks_are_linear_in_what_is_kept(field):
    a, b = numbers(4, field.units, name="a"), numbers(4, field.units, name="b")
    mixed = masks(field, 0.25 * a + 0.75 * b)
    torch.testing.assert_close(mixed, 0.25 * masks(field, a) + 0.75 * masks(field, b), rtol=0, atol=1e-6)
    assert mixed.dtype is torch.float32


@pytest.mark.parametrize("chunk", [1, 3, 7, 20])
def test_masks_do_not_depend_on_how_rows_are_cut(field, chunk):
    z = (numbers(20, field.units) < 0.5).float()
    parts = [masks(field, z[i : i + chunk], range(i, min(i + chunk, 20))) for i in range(0, 20, chunk)]
    torch.testing.assert_close(torch.cat(parts), masks(field, z), rtol=0, atol=1e-6)


def test_the_per_pixel_map_spreads_scores_by_the_soft_masks(field):
    a = numbers(2, field.units).double() * 10 - 5
    soft = masks(field, torch.eye(field.units)).double()  # [M, *shape]
    want = torch.tensordot(a, soft, 1) / soft.sum(0)
    got = field.spread(a)
    assert got.dtype is torch.float64
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    torch.testing.assert_close(field.spread(a[0]), got[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(field.spread(a.view(2, 1, -1))[:, 0], got, rtol=0, atol=1e-12)


def test_the_per_segment_map_paints_every_position_with_its_own_units_score(field):
    labels = getattr(field, "labels", torch.arange(field.units))
    a = numbers(2, field.units).double() * 10 - 5
    got = field.paint(a)
    assert got.dtype is torch.float64 and got.equal(a[:, labels]) and field.paint(a[0]).equal(got[0])


def test_a_map_of_equal_scores_is_flat(field):
    a = torch.full((field.units,), 0.37, dtype=torch.float64)
    torch.testing.assert_close(field.spread(a), torch.full_like(field.paint(a), 0.37), rtol=1e-12, atol=0)
    assert (field.paint(a) == 0.37).all()


def test_a_large_map_is_spread_in_parts_without_a_seam(monkeypatch):
    field, a = Segments(LABELS, 2.0), numbers(3, 9).double()
    whole = field.spread(a)
    monkeypatch.setattr(fields, "CHUNK", 9 * 50)
    torch.testing.assert_close(field.spread(a), whole, rtol=1e-12, atol=0)


def test_weights_are_placed_on_a_device_once(field, monkeypatch):
    z, moved = torch.ones(2, field.units), []
    masks(field, z)
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: (moved.append(self.shape), to(self, *a, **k))[1])
    masks(field, z)
    assert moved == [z.shape]


def test_smoothing_is_ten_pixels_at_224_and_grows_with_the_shorter_side():
    assert default_sigma((224, 224)) == pytest.approx(10.0)
    assert default_sigma((448, 600)) == pytest.approx(20.0)
    z = numbers(3, 9)
    assert masks(Grid((45, 60), 3, "gaussian"), z).equal(masks(Grid((45, 60), 3, "gaussian", 450 / 224), z))


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Grid((9, 5), 6), "segments"),
        (lambda: Grid((9, 5), 0), "segments"),
        (lambda: Grid((9, 9), 3, "cubic"), "smoothing"),
        (lambda: Grid((64, 64), 3, "gaussian", 0.0), "sigma"),
        (lambda: Grid((64, 64), 3, "gaussian", float("nan")), "sigma"),
        (lambda: Grid((64, 64), 3, "gaussian", 32.5), "sigma"),
        (lambda: Segments(LABELS, -1.0), "sigma"),
        (lambda: Segments(LABELS, float("inf")), "sigma"),
        (lambda: Segments(LABELS + 1), "labels"),
        (lambda: Segments(LABELS * 2), "labels"),
        (lambda: Segments(LABELS - 1), "labels"),
        (lambda: Segments(LABELS * 2**60), "labels"),
        (lambda: Segments(LABELS.float()), "labels"),
        (lambda: Segments(torch.zeros(0, 5, dtype=torch.int64)), "labels"),
        (lambda: Segments((torch.arange(1200 * 1000) % 60).view(1200, 1000), 9.0), "segments"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(make, field):
    with pytest.raises(InvalidRequest) as refused:
        make()
    assert refused.value.field == field


def test_one_pixel_is_a_field():
    for field in (Grid((1, 1), 1, "gaussian"), Segments(torch.zeros(1, 1, dtype=torch.int64), 0.1)):
        assert masks(field, torch.tensor([[0.25]])).tolist() == [[[0.25]]]
