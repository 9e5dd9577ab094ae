"""Convolution of small maps: against NumPy, against Keras' layer, and saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.networks.shared import convolution
from pipeline.networks.shared.convolution import Convolution, convolve_small


def convolved(maps, kernel):
    """Convolve with SAME padding by the definition."""
    (n, height, width, _), (rows, columns, _, filters) = maps.shape, kernel.shape
    result = np.zeros((n, height, width, filters))
    for y in range(height):
        for x in range(width):
            for i in range(rows):
                for j in range(columns):
                    row, column = y + i - (rows - 1) // 2, x + j - (columns - 1) // 2
                    if 0 <= row < height and 0 <= column < width:
                        result[:, y, x] += maps[:, row, column] @ kernel[i, j]
    return result


@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (3, 3), (2, 3), (3, 1)])
@pytest.mark.parametrize("taps", [(1, 1), (2, 2), (3, 3), (5, 5), (3, 2)])
def test_follows_the_definition(sides, taps):
    rng = np.random.default_rng(0)
    maps, kernel = rng.normal(size=(2, *sides, 3)), rng.normal(size=(*taps, 3, 4))
    result = np.asarray(convolve_small(tf.constant(maps), tf.constant(kernel)))
    np.testing.assert_allclose(result, convolved(maps, kernel), atol=1e-12)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_has_the_results_and_gradients_of_keras_layer(side, monkeypatch):
    rng = np.random.default_rng(side)
    maps = tf.constant(rng.normal(size=(5, side, side, 6)).astype(np.float32))
    monkeypatch.setattr(convolution, "is_small", lambda sides, kernel: max(sides) <= 3)
    ours, theirs = (kind(7, 3, padding="same") for kind in (Convolution, keras.layers.Conv2D))
    ours.build(maps.shape), theirs.build(maps.shape)
    theirs.set_weights(ours.get_weights())
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = layer(maps)
            loss = tf.reduce_sum(tf.sin(outputs))
        kernel, inputs = tape.gradient(loss, [layer.kernel.value, maps])
        results.append((outputs, kernel, inputs))
    for mine, other in zip(*results, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def operations(side, channels=2, **kwargs):
    """Return the kinds of operations in the graph of a layer for maps of a side."""
    layer = Convolution(channels, 3, **{"padding": "same", **kwargs})
    layer.build((None, side, side, channels))
    maps = tf.TensorSpec((None, side, side, channels))
    graph = tf.function(layer).get_concrete_function(maps).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize(
    ("side", "channels", "small"),
    [(1, 64, True), (3, 191, False), (3, 192, True), (5, 320, True), (6, 640, False)],
)
def test_only_small_maps_are_computed_as_products(side, channels, small):
    assert ("Conv2D" not in operations(side, channels)) is small


@pytest.mark.parametrize(
    "other", [{"padding": "valid"}, {"strides": 2}, {"dilation_rate": 2}, {"groups": 2}]
)
def test_other_convolutions_are_left_to_keras(other):
    assert "MatMul" not in operations(side=3, channels=384, **other)


def test_a_gpu_keeps_its_own_convolution(monkeypatch):
    monkeypatch.setattr(convolution, "has_gpu", lambda: True)
    assert "Conv2D" in operations(side=3, channels=192)


def test_is_loaded_as_it_was_saved():
    layer = Convolution(4, (3, 2), use_bias=False, name="some")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is Convolution
    assert again.get_config() == layer.get_config()
