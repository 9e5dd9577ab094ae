import pytest

from pipeline.networks.shared.models import count_flops, trainable_parameters
from tests.networks.conftest import expected_head, layer_parameters


def expected_resnet(width, classes=100):
    counts, channels = [], 3
    for filters in [128, 256, 512, 1024]:
        filters = int(filters * width)
        for inputs in [channels, filters, filters, filters]:
            counts += [2 * inputs, 9 * inputs * filters]
        channels = filters
    return counts + expected_head(2 * 2 * channels, int(4096 * width), classes)


@pytest.mark.parametrize("width", [1.0, 0.125])
def test_the_resnet_has_exactly_the_weights_of_the_formulae(build, width):
    assert layer_parameters(build("model", width=width)) == expected_resnet(width)


def test_the_full_size_totals_are_the_published_ones(build):
    resnet = build("model", width=1.0)
    assert trainable_parameters(resnet) == sum(expected_resnet(1.0)) == 77_791_822
    assert count_flops(resnet) == pytest.approx(4.1e9, rel=0.02)
    assert resnet.get_layer("flatten").output.shape == (None, 4096)


def test_the_maps_halve_after_blocks_are_dropped(build):
    resnet = build("model")
    for i, side in enumerate([16, 8, 4, 2], 1):
        assert resnet.get_layer(f"block{i}_pool").output.shape[1:3] == (side, side)
        assert resnet.get_layer(f"block{i}_dropblock").output.shape[1] == 2 * side


def test_without_skip_connections_nothing_is_added(build):
    added = [layer for layer in build("model").layers if type(layer).__name__ == "Add"]
    assert len(added) == 4
    plain = build("model", skip_connections=False)
    assert not [layer for layer in plain.layers if type(layer).__name__ == "Add"]
    assert trainable_parameters(plain) == trainable_parameters(build("model"))
