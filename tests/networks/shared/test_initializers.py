import keras
import numpy as np
import pytest

from pipeline.networks.shared.initializers import Dirac


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("channels", "filters"), [(4, 4), (4, 6), (6, 4)])
def test_the_first_filters_pass_their_channels_on(size, channels, filters, rng):
    layer = keras.layers.Conv2D(filters, size, padding="same", kernel_initializer=Dirac(seed=1))
    maps = rng.normal(size=(2, 5, 5, channels)).astype(np.float32)
    passed = min(channels, filters)
    np.testing.assert_array_equal(layer(maps)[..., :passed], maps[..., :passed])


def test_all_other_weights_are_those_of_glorot():
    expected = keras.initializers.GlorotUniform(seed=1)
    for shape, others in [((3, 3, 4, 6), np.s_[..., 4:]), ((8, 5), np.s_[:])]:
        weights = np.asarray(Dirac(seed=1)(shape))
        np.testing.assert_array_equal(weights[others], np.asarray(expected(shape))[others])


def test_it_is_saved_with_a_layer():
    layer = keras.layers.Conv2D(2, 3, kernel_initializer=Dirac(seed=3))
    again = keras.layers.Conv2D.from_config(layer.get_config())
    assert isinstance(again.kernel_initializer, Dirac)
