import keras
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.networks.shared.models import (
    build_model,
    count_flops,
    load_network,
    trainable_parameters,
)


@pytest.fixture(scope="module")
def build(request):
    from pipeline.core.params import load_params
    from tests.conftest import REPOSITORY

    params = load_params(REPOSITORY / "params.yaml")

    def make(network, classes=100, **changes):
        section = params.network(network).model_copy(update=changes)
        return build_model(network, section, classes)

    return make


def layer_parameters(model):
    """The trainable weights of each layer that has any, in order."""
    counts = [sum(np.prod(w.shape) for w in x.trainable_weights) for x in model.layers]
    return [int(count) for count in counts if count]


def expected_baseline(width, classes=100):
    """REFERENCE: batch norm has 2 a channel, a k x k convolution k*k*in*out, no biases."""
    counts, channels = [], 3
    for filters, kernel in zip([64, 128, 256, 512], [7, 5, 3, 3], strict=True):
        filters = int(filters * width)
        counts += [2 * channels, kernel**2 * channels * filters, 2 * filters]
        channels = filters
    return counts + expected_head(2 * 2 * channels, int(2048 * width), classes)


def expected_resnet(width, classes=100):
    counts, channels = [], 3
    for filters in [128, 256, 512, 1024]:
        filters = int(filters * width)
        for inputs in [channels, filters, filters, filters]:
            counts += [2 * inputs, 9 * inputs * filters]
        channels = filters
    return counts + expected_head(2 * 2 * channels, int(4096 * width), classes)


def expected_head(features, units, classes):
    return [features * units, 2 * units, units * units, 2 * units, units * classes, 2 * classes]


@pytest.mark.parametrize("width", [1.0, 0.125])
def test_the_baseline_has_exactly_the_weights_of_the_formulae(build, width):
    assert layer_parameters(build("baseline", width=width)) == expected_baseline(width)


@pytest.mark.parametrize("width", [1.0, 0.125])
def test_the_resnet_has_exactly_the_weights_of_the_formulae(build, width):
    assert layer_parameters(build("model", width=width)) == expected_resnet(width)


def test_the_full_size_totals_are_the_published_ones(build):
    resnet, baseline = build("model", width=1.0), build("baseline", width=1.0)
    assert trainable_parameters(resnet) == sum(expected_resnet(1.0)) == 77_791_822
    assert trainable_parameters(baseline) == sum(expected_baseline(1.0)) == 10_293_390
    assert count_flops(resnet) == pytest.approx(4.1e9, rel=0.02)


def test_the_maps_halve_after_each_block(build):
    resnet, baseline = build("model"), build("baseline")
    for i, side in enumerate([16, 8, 4, 2], 1):
        assert resnet.get_layer(f"block{i}_pool").output.shape[1:3] == (side, side)
        assert baseline.get_layer(f"block{i}_dropblock").output.shape[1:3] == (side, side)
    # The resnet drops blocks before its pooling, the baseline after it.
    assert resnet.get_layer("block1_dropblock").output.shape[1:3] == (32, 32)
    assert build("model", width=1.0).get_layer("flatten").output.shape == (None, 4096)


def test_flops_count_each_multiply_add_as_two(build):
    model = build("baseline", width=1.0)
    convolutions = [(32, 7, 3, 64), (16, 5, 64, 128), (8, 3, 128, 256), (4, 3, 256, 512)]
    expected = sum(2 * side**2 * k**2 * i * o for side, k, i, o in convolutions)
    expected += 2 * (2048 * 2048 * 2 + 2048 * 100)
    assert count_flops(model) == expected


@pytest.mark.parametrize("network", ["baseline", "model"])
def test_without_batch_norm_each_matmul_has_a_bias(build, network):
    model = build(network, batch_norm=False)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert "BatchNormalization" not in kinds
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            assert layer.use_bias
    for layer in build(network).layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            assert not layer.use_bias


@pytest.mark.parametrize("network", ["baseline", "model"])
def test_every_option_of_the_section_reaches_its_layers(build, network):
    model = build(
        network,
        width=0.5,
        filters=[20, 40],
        kernel_sizes=[5, 1],
        pool_size=2,
        pool_stride=4,
        hidden_units=[30],
        batch_norm_momentum=0.7,
        batch_norm_epsilon=0.01,
        initializer="he_normal",
        drop_block_size=3,
        drop_block_oversize="clamp",
        conv_keep_start=0.9,
        dense_keep=0.6,
    )
    layers = {layer.name: layer for layer in model.layers}
    kernels = [x for x in model.layers if isinstance(x, keras.layers.Conv2D | keras.layers.Dense)]
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {x.filters for x in kernels if hasattr(x, "filters")} == {10, 20}
    assert next(x.kernel_size for x in kernels if hasattr(x, "filters")) == (5, 5)
    assert layers["block2_pool"].output.shape[1:] == (2, 2, 20)
    assert layers["hidden1_dense"].units == 15
    assert {type(x.kernel_initializer).__name__ for x in kernels} == {"HeNormal"}
    assert {(x.momentum, x.epsilon) for x in norms} == {(0.7, 0.01)}
    assert layers["block1_dropblock"].get_config()["keep_prob"] == 0.9
    assert layers["block1_dropblock"].get_config()["block_size"] == 3
    assert layers["block1_dropblock"].get_config()["oversize"] == "clamp"
    assert layers["hidden1_dropout"].rate == pytest.approx(0.4)


def test_no_hidden_layers_leaves_a_linear_classifier(build):
    names = [layer.name for layer in build("model", hidden_units=[]).layers]
    assert not any(name.startswith("hidden") for name in names)
    assert names.index("flatten") + 1 == names.index("logits_dense")


@pytest.mark.parametrize("network", ["baseline", "model"])
def test_the_weights_are_glorot_uniform(build, network):
    for layer in build(network, width=0.5).layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            kernel = np.asarray(layer.kernel)
            field = np.prod(kernel.shape[:-2])
            limit = np.sqrt(6 / (field * (kernel.shape[-2] + kernel.shape[-1])))
            assert abs(kernel).max() <= limit * 1.0001
            assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)


def test_pixels_are_scaled_to_minus_1_to_1(build):
    scale = build("model").get_layer("normalise")
    np.testing.assert_allclose(scale(np.array([0.0, 127.5, 255.0])), [-1, 0, 1], atol=1e-6)


def test_16_bit_precision_still_gives_float32_logits(build):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build("model", width=0.03)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    logits = model(np.zeros((2, 32, 32, 3), np.float32), training=True)
    assert logits.dtype == "float32"
    assert model.get_layer("block1_h1a_conv").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.h5", b"", "only .keras files are loaded"),
        ("model.keras", b"not a zip", "cannot be loaded"),
        ("missing.keras", None, "missing.keras cannot be loaded"),
    ],
)
def test_files_that_are_no_network_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_network(tmp_path / name)
