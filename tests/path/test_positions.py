"""From attributions at layers to maps: nothing gained or lost, everything where it belongs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reading import Reader, twin_of
from sidelight.core.ask import INPUT
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, words
from sidelight.core.predictor import PixelSpace, Twin, Unit
from sidelight.path.positions import Grid, grids, positional, positions, shares, spread
from sidelight.path.tokens import at_twin

LAYERS = [(8, 7, 7), (3, 14, 14), (64, 1, 5), (2, 224, 224), (2, 300, 300), (14, 14, 6), (197, 4), (196, 4), (50, 4)]


def image(height=224, width=224, layout="NCHW"):
    pixels = torch.zeros(3, height, width)
    return ImageInput("x", pixels, pixels, PixelSpace(layout=layout))


def text_twin(pieces):
    return Twin((), "", 1e-3, embedding="embed", pieces=lambda text: tuple(Unit(*p) for p in pieces))


def shown_of(x, raw, twin=None, **display):
    """Map, rest and steps, with positions as the whole shapes tell them."""
    return positions(x, raw, grids(x, {layer: tuple(a.shape) for layer, a in raw.items()}, twin), twin, display)


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


# -- images


@pytest.mark.parametrize("shape", LAYERS)
def test_map_and_rest_add_up_to_the_result_at_any_layer_of_an_image_model(shape):
    a = noise(*shape)
    shown, rest, steps = shown_of(image(), {"layer": a})
    assert shown.shape == (224, 224) and shown.dtype == torch.float64
    assert float(shown.sum()) + rest == pytest.approx(float(a.sum()), abs=1e-9)
    assert all(step.result == pytest.approx(float(shown.sum()), abs=1e-9) for step in steps)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.integers(1, 30))
def test_spreading_keeps_the_sum_at_any_size(h, w, height, width):
    cells = noise(h, w)
    assert float(spread(cells, (height, width)).sum()) == pytest.approx(float(cells.sum()), abs=1e-9)


def test_equal_cells_are_spread_to_equal_pixels():
    shown = spread(torch.ones(7, 7), (224, 224))
    torch.testing.assert_close(shown, torch.full((224, 224), 1 / 1024, dtype=torch.float64))


def test_one_cell_lands_on_its_own_pixels_with_its_centre():
    cells = torch.zeros(7, 7)
    cells[2, 5] = 3
    shown = spread(cells, (70, 70))
    rows, columns = (torch.arange(70, dtype=torch.float64) @ shown.sum(axis) / 3 for axis in (1, 0))
    assert (float(rows), float(columns)) == pytest.approx((24.5, 54.5))
    assert float(shown[15:35, 45:65].sum()) == pytest.approx(3)  # within half a cell of its own


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_at_the_input_channels_are_summed_and_no_step_is_needed(layout):
    a = noise(3, 5, 3)
    shown, rest, steps = shown_of(image(3 if layout == "NHWC" else 5, 5 if layout == "NHWC" else 3, layout), {INPUT: a})
    torch.testing.assert_close(shown, a.sum(0 if layout == "NCHW" else 2))
    assert rest == 0 and steps == ()


def test_the_class_token_goes_to_the_rest_and_the_others_to_their_patches():
    a = torch.zeros(1 + 12, 2)
    a[0], a[1 + 5] = 7, 1  # patch 5 of 3 x 4 is the one at (1, 1)
    shown, rest, steps = shown_of(image(30, 40), {"block": a})
    assert rest == 14 and float(shown.sum()) == pytest.approx(2)
    assert divmod(int(shown.argmax()), 40) in [(r, c) for r in (14, 15) for c in (14, 15)]
    assert "class token left out" in [step.name for step in steps]


def test_a_map_with_channels_last_is_told_by_the_proportions_of_the_image():
    a = torch.zeros(6, 8, 5)
    a[2, 3] = 1
    shown, _, _ = shown_of(image(60, 80), {"layer": a})
    torch.testing.assert_close(shown, shown_of(image(60, 80), {"layer": a.permute(2, 0, 1)})[0])
    assert divmod(int(shown.argmax()), 80) in [(r, c) for r in (24, 25) for c in (34, 35)]


def test_several_layers_give_the_sum_of_their_maps():
    raw = {"a": noise(3, 7, 7), "b": noise(5, 14, 14), "c": noise(197, 2)}
    shown, rest, steps = shown_of(image(), raw)
    each = [shown_of(image(), {layer: a}) for layer, a in raw.items()]
    torch.testing.assert_close(shown, sum(m for m, _, _ in each))
    assert rest == pytest.approx(sum(r for _, r, _ in each)) and "7 x 7 and 14 x 14" in steps[-1].name


@pytest.mark.parametrize("shape", [(1000,), (512, 1, 1), (300, 4), (2, 3, 4, 5)])
def test_a_layer_without_positions_is_refused_with_the_kinds_that_have_some(shape):
    with pytest.raises(InvalidRequest, match=r"grad_cam\.layers: a layer with positions.*fc is \[") as refused:
        grids(image(), {"fc": shape}, field="grad_cam.layers")
    assert refused.value.field == "grad_cam.layers"


def test_sizes_that_vary_are_taken_for_positions_until_they_are_known():
    assert positional(image(), "layer", (8, -1, -1)) and positional(TextInput("t", "a", ()), "layer", (-1, 8))


# -- tokens and text


def test_the_features_of_a_token_are_summed():
    x, a = TokenInput("ids", torch.arange(6)), noise(6, 4)
    shown, rest, steps = shown_of(x, {"embed": a})
    torch.testing.assert_close(shown, a.sum(1))
    assert rest == 0 and steps == ()


@pytest.mark.parametrize(
    ("layer", "shape"), [("pooled", (4,)), ("scores", (2, 6, 6)), ("other", (5, 4)), (INPUT, (6,))]
)
def test_what_is_no_vector_a_token_is_refused_with_the_embedding_as_the_mend(layer, shape):
    x, twin = TokenInput("ids", torch.arange(6)), Twin((), "", 1e-3, embedding="encoder.words")
    with pytest.raises(InvalidRequest, match=r"one vector for each token.*encoder\.words"):
        grids(x, {layer: shape}, twin)


def test_a_word_of_several_tokens_has_their_sum_and_special_tokens_go_to_the_rest():
    text = "Crème-brûlée? Oh!"
    x = TextInput("t", text, words(text))
    assert [x.word(u) for u in x.units] == ["Crème", "-", "brûlée", "?", "Oh", "!"]
    pieces = [(0, 0), (0, 2), (2, 5), (5, 6), (6, 8), (8, 12), (12, 13), (14, 16), (16, 17), (17, 17)]
    a = torch.arange(20.0).view(10, 2)
    tokens = a.sum(1).double()
    shown, rest, steps = shown_of(x, {"embed": a}, text_twin(pieces))
    wanted = [tokens[1] + tokens[2], tokens[3], tokens[4] + tokens[5], *tokens[6:9]]
    torch.testing.assert_close(shown, torch.stack(wanted))
    assert rest == float(tokens[0] + tokens[9]) and steps[-1].result == float(shown.sum())


def test_a_token_over_two_units_is_shared_by_characters_and_one_over_none_goes_to_the_rest():
    units = (Unit(0, 3), Unit(3, 4), Unit(6, 8))
    share = shares(units, [Unit(0, 4), Unit(4, 6), Unit(4, 8), Unit(8, 8)])  # the third begins with the space before
    torch.testing.assert_close(share.T, torch.tensor([[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]).double())


@given(st.data())
def test_words_and_rest_add_up_to_the_result_whatever_the_tokens(data):
    text = data.draw(st.text(min_size=1, max_size=20))
    x = TextInput("t", text, words(text))
    place = st.integers(0, len(text))
    pieces = [tuple(sorted(p)) for p in data.draw(st.lists(st.tuples(place, place), min_size=1, max_size=10))]
    a = noise(len(pieces), 3)
    shown, rest, _ = shown_of(x, {"embed": a}, text_twin(pieces))
    assert shown.shape == x.shape and float(shown.sum()) + rest == pytest.approx(float(a.sum()), abs=1e-9)


def test_words_behind_the_end_of_a_cut_text_have_no_attribution():
    x = TextInput("t", "a b c", words("a b c"))
    shown, rest, _ = shown_of(x, {"embed": torch.ones(2, 1)}, text_twin([(0, 1), (2, 3)]))
    assert shown.tolist() == [1, 1, 0] and rest == 0


def test_a_layer_with_another_number_of_tokens_than_the_text_is_refused():
    reader = Reader()
    x = at_twin(TextInput("t", "so it is", words("so it is")), twin_of(reader))
    grids(x, {"layer": (5, 8)})
    with pytest.raises(InvalidRequest, match="one vector for each token"):
        grids(x, {"layer": (4, 8)})


# -- before display


@pytest.mark.parametrize(
    ("size", "shape", "channels", "cells"),
    [((64, 64), (2, 2, 768), 2, (2, 2)), ((64, 64), (256, 2, 4), 0, (2, 4)), ((32, 100), (512, 1, 25), 0, (1, 25))],
)
def test_sums_of_channels_are_laid_where_the_whole_shape_has_them(size, shape, channels, cells):
    x = image(*size)
    where = grids(x, {"layer": shape})
    assert where["layer"] == Grid(channels, cells)
    a = noise(*shape)
    whole, _, _ = positions(x, {"layer": a}, where)
    summed, _, _ = positions(x, {"layer": a.sum(channels, keepdim=True)}, where)
    torch.testing.assert_close(summed, whole)
    assert float(whole.sum()) == pytest.approx(float(a.sum()))


def scaled(cells):
    return {layer: (c - c.min()) / (c.max() - c.min()) for layer, c in cells.items()}


def test_the_class_token_is_left_out_before_display_and_the_rest_is_what_was_attributed_to_it():
    a = noise(1 + 12, 2)
    a[0] = -50
    shown, rest, steps = shown_of(image(30, 40), {"block": a}, min_max=scaled)
    assert rest == -100
    assert [step.name for step in steps][:2] == ["class token left out", "min_max"]
    assert steps[0].result == pytest.approx(float(a[1:].sum()))
    without, _, _ = shown_of(image(30, 40), {"block": a[1:]}, min_max=scaled)
    torch.testing.assert_close(shown, without)


def test_special_tokens_are_left_out_before_display_and_the_rest_is_what_was_attributed_to_them():
    x = TextInput("t", "a b", words("a b"))
    twin = text_twin([(0, 0), (0, 1), (2, 3), (3, 3)])
    shown, rest, steps = shown_of(x, {"l": torch.tensor([[-9.0], [1], [3], [7]])}, twin, min_max=scaled)
    assert shown.tolist() == [0, 1] and rest == -2
    assert [step.result for step in steps] == [4, 1, 1]
