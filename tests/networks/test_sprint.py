import keras
import pytest

from pipeline.networks.shared.models import count_flops
from tests.networks.conftest import layer_parameters


def expected_sprint(width, stem=32, classes=100):
    """A kernel of 9 in * out a convolution, two weights a channel and norm, logits with a bias."""
    channels = int(stem * width)
    counts = [9 * 3 * channels, 2 * channels]
    for filters in [96, 192, 384]:
        filters = int(filters * width)
        for inputs in [channels, filters, filters]:
            counts += [9 * inputs * filters, 2 * filters]
        channels = filters
    return [*counts, channels * classes + classes]


@pytest.mark.parametrize("width", [1.0, 0.125])
def test_it_has_exactly_the_weights_of_the_formulae(build, width):
    assert layer_parameters(build("sprint", width=width)) == expected_sprint(width)


def test_it_takes_an_eighth_of_the_resnets_operations_for_an_image(build):
    assert count_flops(build("sprint", width=1.0)) == 483_142_656
    assert count_flops(build("model", width=1.0)) > 8 * 483_142_656


def test_each_stage_halves_the_map_and_adds_its_branch(build):
    sprint = build("sprint")
    for i, side in enumerate([16, 8, 4], 1):
        assert sprint.get_layer(f"stage{i}_add").output.shape[1:3] == (side, side)
    assert sprint.get_layer("mean").output.shape == (None, 48)


def test_its_activation_is_a_key(build):
    kinds = {"relu": keras.activations.relu, "gelu": keras.activations.gelu}
    for name, function in kinds.items():
        found = [x for x in build("sprint", activation=name).layers if x.name.endswith(f"_{name}")]
        assert len(found) == 1 + 3 * 3
        assert all(layer.activation is function for layer in found)
