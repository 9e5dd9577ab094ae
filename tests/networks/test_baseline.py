import pytest

from pipeline.networks.shared.models import trainable_parameters
from tests.networks.conftest import expected_head, layer_parameters


def expected_baseline(width, classes=100):
    """REFERENCE: batch norm has 2 a channel, a k x k convolution k*k*in*out, no biases."""
    counts, channels = [], 3
    for filters, kernel in zip([64, 128, 256, 512], [7, 5, 3, 3], strict=True):
        filters = int(filters * width)
        counts += [2 * channels, kernel**2 * channels * filters, 2 * filters]
        channels = filters
    return counts + expected_head(2 * 2 * channels, int(2048 * width), classes)


@pytest.mark.parametrize("width", [1.0, 0.125])
def test_the_baseline_has_exactly_the_weights_of_the_formulae(build, width):
    assert layer_parameters(build("baseline", width=width)) == expected_baseline(width)


def test_the_full_size_total_is_the_published_one(build):
    baseline = build("baseline", width=1.0)
    assert trainable_parameters(baseline) == sum(expected_baseline(1.0)) == 10_293_390


def test_the_maps_halve_before_blocks_are_dropped(build):
    baseline = build("baseline")
    for i, side in enumerate([16, 8, 4, 2], 1):
        assert baseline.get_layer(f"block{i}_dropblock").output.shape[1:3] == (side, side)
