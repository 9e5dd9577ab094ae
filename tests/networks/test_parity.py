"""With the same weights, networks and float64 NumPy give the same logits, also in training."""

from functools import partial

import keras
import numpy as np
import pytest

from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import build_model
from tests.networks import reference_networks as reference

LARGEST_DIFFERENCE = 1e-4  # of the largest logit
NETWORKS = {
    "baseline": reference.baseline,
    "model": reference.resnet,
    "model without the image's ReLU": partial(reference.resnet, image_relu=False),
    "sprint": reference.sprint,
}
CHANGES = {
    "model": {"image_relu": True},
    "model without the image's ReLU": {"image_relu": False},
    "sprint": {"logits_scale": 1.0},
}


def make_images(count):
    """Smooth random pictures and plain noise, raw pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count // 2, 4, 4, 3))
    smooth = np.kron(coarse, np.ones((1, 8, 8, 1)))
    noise = rng.integers(0, 256, (count // 2, 32, 32, 3))
    return np.concatenate([smooth, noise]).astype(np.float32)


def make_model(params, contender, **changes):
    """A network as if trained for a while: no norm is the identity."""
    keras.utils.set_random_seed(1)
    network, changes = contender.split()[0], changes | CHANGES.get(contender, {})
    model = build_model(
        network, params.recipe(network).model_copy(update=changes), classes=100, image_size=32
    )
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            spread = {"gamma": (0.5, 1.5), "moving_variance": (0.2, 1.5)}
            for weight in layer.weights:
                low, high = spread.get(weight.name, (-0.5, 0.5))
                weight.assign(rng.uniform(low, high, weight.shape))
    return model


def weights_of(model):
    kernels = (keras.layers.Conv2D, keras.layers.Dense)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    return reference.Weights(
        [np.asarray(x.kernel) for x in model.layers if isinstance(x, kernels)],
        [(x.gamma, x.beta, x.moving_mean, x.moving_variance) for x in norms],
    )


def largest_difference(logits, expected):
    assert np.ptp(expected) > 1
    return np.abs(np.asarray(logits) - expected).max() / np.abs(expected).max()


def copy_of(generator):
    copy = keras.random.SeedGenerator(0)
    copy.state.assign(generator.state)
    return copy


def training_mode(model, section, count):
    """The random numbers that the model's next training call will draw."""
    noise, kept = [], []
    for layer in model.layers:
        if isinstance(layer, DropBlock2D):
            _, height, width, channels = layer.output.shape
            if block := layer.block_size_on(height, width):
                shape = (count, height - block + 1, width - block + 1, channels)
                drawn = keras.random.uniform(
                    shape, dtype="float32", seed=copy_of(layer.seed_generator)
                )
                noise.append(np.asarray(drawn))
        if isinstance(layer, keras.layers.Dropout):
            ones = np.ones((count, layer.output.shape[1]), layer.compute_dtype)
            dropped = keras.random.dropout(ones, layer.rate, seed=copy_of(layer.seed_generator))
            kept.append(np.asarray(dropped) > 0)
    block = getattr(section, "drop_block_size", None)
    return reference.Training(block, section.conv_keep_start, section.dense_keep, noise, kept)


SIZES = [
    (0.125, 64),
    *(pytest.param(*size, marks=pytest.mark.slow) for size in ((0.25, 64), (1.0, 8))),
]


@pytest.mark.parametrize(("width", "count"), SIZES)
@pytest.mark.parametrize("network", NETWORKS)
def test_inference_gives_the_logits_of_the_reference(params, network, width, count):
    model, images = make_model(params, network, width=width), make_images(count)
    weights = weights_of(model)
    expected = NETWORKS[network](images, weights, reference.Inference())
    weights.assert_all_used()
    difference = largest_difference(model(images, training=False), expected)
    print(f"{network} width {width} inference: {difference:.1e}")
    assert difference < LARGEST_DIFFERENCE


@pytest.mark.parametrize(("width", "count"), SIZES)
@pytest.mark.parametrize("network", NETWORKS)
def test_training_mode_gives_the_logits_of_the_reference(params, network, width, count):
    """Batch statistics, DropBlock with its rescaling over the whole batch, dropout."""
    changes = {"width": width, "conv_keep_start": 0.8, "dense_keep": 0.6}
    model, images = make_model(params, network, **changes), make_images(count)
    section = params.recipe(network.split()[0]).model_copy(update=changes)
    mode, weights = training_mode(model, section, len(images)), weights_of(model)
    expected = NETWORKS[network](images, weights, mode)
    assert next(mode.noise, None) is None
    assert next(mode.kept, None) is None
    difference = largest_difference(model(images, training=True), expected)
    print(f"{network} width {width} training: {difference:.1e}")
    assert difference < LARGEST_DIFFERENCE


@pytest.mark.parametrize("network", ["baseline", "model"])  # whose first layer is a norm
def test_training_moves_the_statistics_by_the_momentum(params, network):
    model, images = make_model(params, network, batch_norm_momentum=0.9), make_images(12)
    norm = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    before = [np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)]
    model(images, training=True)
    pixels = (images.astype(np.float64) - 127.5) / 127.5
    batch = [pixels.mean(axis=(0, 1, 2)), pixels.var(axis=(0, 1, 2))]
    for old, new, weight in zip(
        before, batch, [norm.moving_mean, norm.moving_variance], strict=True
    ):
        np.testing.assert_allclose(weight, 0.9 * old + 0.1 * new, rtol=1e-3)
