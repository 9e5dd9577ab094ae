import keras
import numpy as np
import pytest


@pytest.mark.parametrize("network", ["baseline", "model"])
def test_without_batch_norm_each_matmul_has_a_bias(build, network):
    model = build(network, batch_norm=False)
    norms = keras.layers.BatchNormalization
    assert not any(isinstance(layer, norms) for layer in model.layers)
    assert any(isinstance(layer, norms) for layer in build(network).layers)
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
    pixels = np.linspace(0, 255, 1024, dtype=np.float32)
    np.testing.assert_allclose(model.get_layer("normalise")(pixels), pixels / 127.5 - 1, atol=1e-6)
