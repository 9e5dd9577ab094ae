import dataclasses
import time

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.core.errors import UserError
from pipeline.networks import model as resnet
from pipeline.networks import network_names
from pipeline.networks.shared.models import (
    copy_network,
    count_flops,
    load_network,
    uncounted,
    unsettled,
)
from pipeline.training.compiling import compile_model, new_model
from tests.conftest import truncate


def test_flops_count_each_multiply_add_as_two(build):
    model = build("baseline", width=1.0)
    convolutions = [(32, 7, 3, 64), (16, 5, 64, 128), (8, 3, 128, 256), (4, 3, 256, 512)]
    expected = sum(2 * side**2 * k**2 * i * o for side, k, i, o in convolutions)
    expected += 2 * (2048 * 2048 * 2 + 2048 * 100)
    assert count_flops(model) == expected


def test_flops_count_a_kernel_at_each_place_where_it_is_applied():
    image = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Dense(5)(keras.layers.Reshape((36, 4))(x))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    expected = 36 * 9 * 3 * 4 + 36 * 9 * 4 + 36 * 4 * 5 + 36 * 5 * 2
    assert count_flops(model) == 2 * expected
    doubled = 4 * (36 * 9 * 3 * 4 + 36 * 9 * 4)
    assert count_flops(keras.Sequential(model.layers[:3]), 24) == 2 * doubled


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.h5", b"", "only .keras files can be loaded"),
        ("model.keras", b"not a zip", "cannot be loaded"),
        ("missing.keras", None, "missing.keras cannot be loaded"),
    ],
)
def test_files_that_are_no_network_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_network(tmp_path / name)


def test_a_file_that_was_cut_off_is_refused(build, tmp_path):
    file = tmp_path / "model.keras"
    build("model", width=0.03).save(file)
    truncate(file, 2_000)
    with pytest.raises(UserError, match=r"model.keras cannot be loaded .* run `dvc repro` to"):
        load_network(file)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_file_with_wrong_bytes_gets_one_message(build, tmp_path, share):
    file = tmp_path / "model.keras"
    build("model", width=0.03).save(file)
    content = bytearray(file.read_bytes())
    place = int(share * len(content))
    content[place : place + 300] = bytes(300)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model.keras cannot be loaded .* run `dvc repro` to"):
        load_network(file)


@pytest.mark.slow
def test_copies_of_equal_networks_are_equal_files_and_load_as_they_were(
    build, params, tmp_path, monkeypatch
):
    model = compile_model(build("model"), params.recipe("model"), params.train)
    model.fit(np.zeros((8, 32, 32, 3)), np.zeros(8, int), verbose=0)
    names = ["first", "second"]
    for name, year in zip(names, (2001, 2002), strict=True):
        moment = time.struct_time((year, 1, 1, 0, 0, 0, 0, 1, 0))
        monkeypatch.setattr(time, "localtime", lambda *_, now=moment: now)
        model.save(tmp_path / f"{name}.keras")
        # As after an interrupted training, which continues with a network from a file.
        model = load_network(tmp_path / f"{name}.keras", compiled=True)
        copy_network(tmp_path / f"{name}.keras", tmp_path / f"{name}-copy.keras")
    files = [(tmp_path / f"{name}.keras").read_bytes() for name in names]
    copies = [(tmp_path / f"{name}-copy.keras").read_bytes() for name in names]
    assert files[0] != files[1]
    assert copies[0] == copies[1]
    loaded = load_network(tmp_path / "first-copy.keras", compiled=True)
    np.testing.assert_equal(loaded.get_weights(), model.get_weights())
    for weight, expected in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(weight, expected)
    other = model.get_weights()
    other[-1] += 1
    model.set_weights(other)
    model.save(tmp_path / "other.keras")
    copy_network(tmp_path / "other.keras", tmp_path / "other-copy.keras")
    assert (tmp_path / "other-copy.keras").read_bytes() != copies[0]


def flat(outputs, shape=(32, 32, 3), **options):
    """A builder of one dense layer."""

    def build(params, classes, image_size):
        image = keras.Input(shape)
        x = keras.layers.Dense(outputs, **options)(keras.layers.Flatten()(image))
        return keras.Model(image, x)

    return build


class Unregistered(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class Subclassed(keras.Model):
    @classmethod
    def of(cls, model):
        return cls(inputs=model.input, outputs=model.output)


def with_layer(layer):
    """A builder of this layer and a dense one."""

    def build(params, classes, image_size):
        image = keras.Input((32, 32, 3))
        return keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(layer(image))))

    return build


def with_own_layer(params, classes, image_size):
    @keras.saving.register_keras_serializable()
    class Twice(Unregistered):
        pass

    return with_layer(Twice())(params, classes, image_size)


def unfinished(params, classes, image_size):
    raise ZeroDivisionError("in the midst of it")


BREACHES = {
    "no model": (lambda params, classes, image_size: None, "it returned NoneType"),
    "other images": (flat(10, (28, 28, 3)), r"it takes images of shape \(28, 28, 3\)"),
    "other classes": (flat(7), r"it returns \(None, 7\)"),
    "maps in place of logits": (
        lambda params, classes, image_size: keras.Sequential(
            [keras.Input((32, 32, 3)), keras.layers.Dense(10)]
        ),
        r"it returns \(None, 32, 32, 10\)",
    ),
    "16-bit outputs": (flat(10, dtype="mixed_float16"), "it returns float16: end it with"),
    "a softmax": (
        flat(10, activation="softmax"),
        "ends in a softmax; return logits instead, because the loss applies the softmax$",
    ),
    "a sigmoid": (flat(10, activation="sigmoid"), "ends in a sigmoid; return logits instead"),
    "numbers that are none": (
        flat(10, kernel_initializer=keras.initializers.Constant(np.nan)),
        "outputs are not finite",
    ),
    "layers without an input": (
        lambda params, classes, image_size: keras.Sequential([keras.layers.Dense(10)]),
        "its model has no Input: make a functional or Sequential one",
    ),
    "a layer that is defined where it is used": (with_own_layer, "twice could not .*Twice"),
    "a class of networks that Keras does not know": (
        lambda *_: Subclassed.of(flat(10)(*_)),
        "Subclassed",
    ),
    "a layer that Keras cannot load": (
        with_layer(keras.layers.Lambda(lambda x: 2 * x)),
        "lambda could not be loaded .*Lambda",
    ),
    "a layer that Keras does not know": (
        with_layer(Unregistered()),
        "unregistered could not be loaded .*Unregistered",
    ),
    "an error": (unfinished, "ZeroDivisionError: in the midst of it"),
}


@pytest.mark.parametrize("case", BREACHES)
def test_a_builder_that_breaks_its_contract_is_refused_in_one_line(params, monkeypatch, case):
    build, message = BREACHES[case]
    monkeypatch.setattr(resnet, "NETWORK", dataclasses.replace(resnet.NETWORK, build=build))
    with pytest.raises(UserError, match=message) as caught:
        new_model("model", params.recipe("model"), params.train, 10, 32)
    assert f"{resnet.__file__}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_logits_above_zero_are_no_softmax(params, monkeypatch):
    build = flat(10, bias_initializer="ones", kernel_initializer="zeros")
    monkeypatch.setattr(resnet, "NETWORK", dataclasses.replace(resnet.NETWORK, build=build))
    assert new_model("model", params.recipe("model"), params.train, 10, 32).count_params()


@pytest.mark.parametrize("network", network_names())
def test_each_network_keeps_its_contract(params, network):
    if network not in params.recipes:
        pytest.skip("a network of one's own needs a section")
    new_model(network, params.recipe(network), params.train, 10, 32)


def test_layers_inside_others_are_counted_each_time_that_they_are_applied():
    inputs = keras.Input((8, 8, 3))
    block = keras.Sequential([layers.Conv2D(4, 3, use_bias=False, name="inside")])
    x = block(inputs)
    shared = layers.Dense(4, name="shared")
    x = shared(shared(x))
    x = layers.SeparableConv2D(5, 3, use_bias=False)(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    separable = 4 * 4 * (9 * 4 + 4 * 5)
    expected = 6 * 6 * 9 * 3 * 4 + 2 * 6 * 6 * 4 * 4 + separable + 4 * 4 * 5 * 2
    assert count_flops(model) == 2 * expected
    assert uncounted(model) == []


def test_a_sequential_network_keeps_the_contract(params, monkeypatch):
    parts = [keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)]
    build = lambda *_: keras.Sequential(parts)  # noqa: E731
    monkeypatch.setattr(resnet, "NETWORK", dataclasses.replace(resnet.NETWORK, build=build))
    assert new_model("model", params.recipe("model"), params.train, 10, 32).count_params()


def test_layers_with_other_matrices_are_named():
    inputs = keras.Input((4, 4, 3))
    x = layers.Reshape((16, 3))(inputs)
    x = layers.MultiHeadAttention(1, 2)(x, x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    assert sorted(uncounted(model)) == ["attention_output", "key", "query", "value"]


def test_batch_norms_are_named_if_their_averages_keep_much_of_the_start():
    slow, fast = (layers.BatchNormalization(momentum=m, name=str(m)) for m in (0.99, 0.9))
    model = keras.Sequential([keras.Input((4,)), keras.Sequential([slow]), fast])
    x = np.random.default_rng(0).normal(5, 1, (256, 4)).astype(np.float32)
    for steps in (20, 200, 400):
        slow.moving_mean.assign([0.0] * 4)
        for _ in range(steps):
            slow(x, training=True)
        off = 1 - float(np.mean(slow.moving_mean) / x.mean())
        assert ("0.99" in unsettled(model, steps)) == (off > 0.05) == (steps < 400)
    assert unsettled(model, 200) == ["0.99"]


@keras.saving.register_keras_serializable("tests")
class Mixer(layers.Layer):
    """A layer with a matrix of its own next to another layer."""

    def build(self, shape):
        self.norm = layers.LayerNormalization()
        self.norm.build(shape)
        self.matrix = self.add_weight(shape=(shape[-1], shape[-1]), name="matrix")

    def call(self, inputs):
        return self.norm(inputs @ self.matrix)


def test_a_layers_own_matrix_is_named_also_if_it_has_layers_inside():
    inputs = keras.Input((4, 4, 3))
    x = Mixer(name="mixer")(layers.Flatten()(inputs))
    assert uncounted(keras.Model(inputs, layers.Dense(2)(x))) == ["mixer"]
