import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.networks.shared.batch_norm import BatchNorm, batch_statistics

EPSILON = 1e-5


def layer_for(shape, **kwargs):
    layer = BatchNorm(momentum=0.9, epsilon=EPSILON, **kwargs)
    layer.build((None, *shape[1:]))
    channels = shape[-1]
    rng = np.random.default_rng(3)
    layer.gamma.assign(rng.uniform(0.5, 1.5, channels))
    layer.beta.assign(rng.uniform(-1, 1, channels))
    return layer


def random_maps(shape, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(0.3, 1, shape), 0).astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(250, 32, 32, 16), (250, 8, 8, 128), (10, 5, 3, 7), (9, 1, 1, 2000)]
)
def test_statistics_are_right_to_five_digits(shape):
    x = random_maps(shape)
    mean, variance = batch_statistics(tf.constant(x))
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), np.float64), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2), np.float64), rtol=1e-5)


def numpy_forward_and_gradients(x, gamma, beta, upstream):
    """Outputs, and the loss's derivatives by x, gamma and beta, in float64 from the definition."""
    x, upstream = x.astype(np.float64), upstream.astype(np.float64)
    axes = tuple(range(x.ndim - 1))
    deviation = np.sqrt(x.var(axes) + EPSILON)
    normal = (x - x.mean(axes)) / deviation
    by_normal = upstream * gamma
    by_x = by_normal - by_normal.mean(axes) - normal * (by_normal * normal).mean(axes)
    by_gamma, by_beta = (upstream * normal).sum(axes), upstream.sum(axes)
    return gamma * normal + beta, by_x / deviation, by_gamma, by_beta


@pytest.mark.parametrize("shape", [(64, 16, 16, 8), (12, 5, 7, 3), (50, 40)])
def test_outputs_and_gradients_equal_an_independent_numpy_version(shape):
    layer = layer_for(shape)
    x, upstream = tf.constant(random_maps(shape)), random_maps(shape, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
    gradients = tape.gradient(outputs, [x, *layer.trainable_variables], upstream)
    expected = numpy_forward_and_gradients(
        x.numpy(), np.asarray(layer.gamma), np.asarray(layer.beta), upstream
    )
    for got, wanted in zip([outputs, *gradients], expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * abs(wanted).max())


def test_it_trains_like_keras_layer():
    x = random_maps((32, 8, 8, 4))
    ours, keras_layer = (
        layer_for(x.shape),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=EPSILON),
    )
    keras_layer.build(x.shape)
    keras_layer.set_weights(ours.get_weights())
    np.testing.assert_allclose(
        ours(x, training=True), keras_layer(x, training=True), rtol=1e-3, atol=1e-4
    )
    for one, other in zip(ours.get_weights(), keras_layer.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    np.testing.assert_array_equal(ours(x), keras.layers.BatchNormalization.call(ours, x))


def test_a_frozen_layer_neither_uses_nor_moves_its_statistics():
    layer = layer_for((8, 4, 4, 4))
    layer.trainable = False
    before = layer.get_weights()
    x = random_maps((8, 4, 4, 4))
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
    np.testing.assert_equal(layer.get_weights(), before)


@pytest.mark.parametrize("channels", [4, 16])
def test_16_bit_inputs_are_normalised_in_32(channels):
    x = random_maps((64, 8, 8, channels))
    layer = layer_for(x.shape, dtype="mixed_bfloat16")
    rounded = tf.cast(tf.cast(x, tf.bfloat16), tf.float32).numpy()
    outputs = layer(x, training=True)
    expected, *_ = numpy_forward_and_gradients(
        rounded, np.asarray(layer.gamma), np.asarray(layer.beta), x
    )
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, rtol=1e-2, atol=1e-2)


def test_it_survives_saving(tmp_path):
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, BatchNorm(momentum=0.7, epsilon=0.01)(inputs))
    model(random_maps((5, 4, 4, 3)), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    layer = loaded.layers[-1]
    assert (type(layer), layer.momentum, layer.epsilon) == (BatchNorm, 0.7, 0.01)
    np.testing.assert_equal(loaded.get_weights(), model.get_weights())
