"""The photo's classifier on a real Triton, and its twin beside it in the service."""

import live
import pytest
from sidelight_client import IntegratedGradients, PreconditionFailed

LAYER = "_blocks.10"


def test_the_twin_of_a_model_on_triton_is_verified_and_lists_its_layers(real):
    (entry,) = real.client.catalogue(live.MODEL).models
    layers = {layer.name: layer for layer in entry.twin.layers}
    assert entry.twin.verified and entry.twin.gap < 1e-4
    assert layers[LAYER].cut and list(layers[LAYER].shape) == [112, 14, 14]
    assert not layers["_blocks.10._depthwise_conv"].cut  # its block adds what it was given


def test_a_photo_is_explained_at_the_input_and_at_a_layer(real):
    for layers in ([], [LAYER]):
        answer = real.client.explain(
            input=live.photo_file(), model=live.MODEL, method=IntegratedGradients(layers=layers, nodes=16), seed=1
        )
        result = answer.message.results[0]
        (told,) = result.attributions
        assert result.model.twin_gap < 1e-4
        assert abs(told.result - told.target - told.error) < 1e-6
        assert abs(told.error) < 0.5 * abs(told.target)  # 16 nodes of a network with kinks


def test_a_layer_that_is_passed_by_is_refused(real):
    with pytest.raises(PreconditionFailed, match="no cut"):
        real.client.explain(
            input=live.photo_file(),
            model=live.MODEL,
            method=IntegratedGradients(layers=["_blocks.10._depthwise_conv"]),
        )
