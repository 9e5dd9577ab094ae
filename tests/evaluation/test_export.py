import keras
import numpy as np
import pytest
from scipy.special import softmax

from pipeline.data.sharpen import sharpen
from pipeline.evaluation.export import export_model
from pipeline.networks.shared.convolution import Convolution
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import build_model
from pipeline.settings.params import check_params
from pipeline.settings.presets import preset_values


def built(network, params):
    keras.utils.set_random_seed(0)
    return build_model(network, params.recipe(network), 10, 32)


@pytest.fixture(params=["baseline", "model"])
def network(request, tiny_params):
    return built(request.param, tiny_params)


@pytest.mark.parametrize("sharpened", [True, False])
def test_raw_pixels_in_probabilities_out(network, sharpened):
    raw = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    prepared = sharpen(raw) if sharpened else raw
    expected = softmax(network.predict(prepared.astype(np.float32), verbose=0), axis=1)
    probabilities = export_model(network, sharpened).predict(raw, verbose=0)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_trained_in_16_bits_is_exported_in_32(tiny_params, precision):
    keras.config.set_dtype_policy(precision)
    try:
        network = built("model", tiny_params)
    finally:
        keras.config.set_dtype_policy("float32")
    raw = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    exported = export_model(network, sharpen=False)
    in_32_bits = export_model(built("model", tiny_params), sharpen=False)
    inside = exported.get_layer(network.name).layers
    assert {layer.compute_dtype for layer in inside} == {"float32"}
    np.testing.assert_array_equal(
        exported.predict(raw, verbose=0), in_32_bits.predict(raw, verbose=0)
    )


def test_networks_inside_a_network_are_exported_too():
    image = keras.Input((32, 32, 3))
    block = keras.Sequential([Convolution(4, 3, dtype="mixed_bfloat16"), DropBlock2D(0.9, 3)])
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(block(image)))
    network = keras.Model(image, logits, name="nested")
    exported = export_model(network, sharpen=False)
    ((convolution, nothing),) = [
        part.layers
        for part in exported.get_layer("nested").layers
        if isinstance(part, keras.Sequential)
    ]
    assert type(convolution) is keras.layers.Conv2D and type(nothing) is keras.layers.Identity
    assert convolution.compute_dtype == "float32"
    np.testing.assert_array_equal(convolution.get_weights()[0], block.layers[0].get_weights()[0])


@keras.saving.register_keras_serializable("tests")
class Scaled(keras.Model):
    """A block with a weight of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(3)

    def build(self, shape):
        self.dense.build(shape)
        self.scale = self.add_weight(shape=(3,), initializer="ones")

    def call(self, inputs):
        return self.dense(inputs) * self.scale


def test_a_model_of_a_class_of_its_own_keeps_its_weights():
    inputs = keras.Input((16, 16, 3))
    block = Scaled(name="block")
    network = keras.Model(inputs, block(keras.layers.Flatten()(inputs)))
    block.scale.assign([0.001, -0.001, 0.002])
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    expected = softmax(network.predict(images.astype(np.float32), verbose=0), axis=1)
    probabilities = export_model(network, sharpen=False).predict(images, verbose=0)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("preset", "name"), [("quick", "baseline"), ("laptop", "model"), ("sprint", "sprint")]
)
def test_it_loads_in_safe_mode_without_the_projects_classes(preset, name, tmp_path):
    recipe = check_params(preset_values(preset)).recipe(name)
    network = build_model(name, recipe.model_copy(update={"width": 0.125}), 10, 32)
    raw = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    exported = export_model(network, sharpen=True)
    exported.save(tmp_path / "model.keras")
    with keras.saving.custom_object_scope({}):
        registered = keras.saving.get_custom_objects()
        kept = dict(registered)
        registered.clear()
        try:
            loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        finally:
            registered.update(kept)
    np.testing.assert_array_equal(loaded.predict(raw, verbose=0), exported.predict(raw, verbose=0))
