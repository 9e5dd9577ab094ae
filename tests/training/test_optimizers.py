import keras
import numpy as np
import pytest

from pipeline.training import optimizers
from pipeline.training.compiling import compile_model
from pipeline.training.optimizers import (
    NEWTON_SCHULZ,
    SGD,
    Adam,
    Muon,
    make_optimizer,
    orthogonalise,
)

CONVOLUTIONS = ("conv1", "conv2")  # of one shape


def newton_schulz(matrix, steps=3):
    """The iteration as Jordan et al. write it, on the matrix itself, in double precision."""
    a, b, c = NEWTON_SCHULZ
    x = matrix / np.linalg.norm(matrix)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(3, 3, 16, 16), (3, 3, 3, 32), (1, 1, 8, 32), (7, 7, 3, 8)])
def test_orthogonalise_is_newton_and_schulz_iteration(shape, rng):
    kernel = rng.normal(size=shape) * 7
    expected = newton_schulz(kernel.reshape(-1, shape[-1])).reshape(shape)
    np.testing.assert_allclose(orthogonalise(kernel.astype(np.float32)), expected, atol=1e-5)


def test_the_singular_values_come_near_one_and_the_vectors_stay(rng):
    left, _, right = np.linalg.svd(rng.normal(size=(72, 16)), full_matrices=False)
    values = np.geomspace(1, 0.05, 16)
    kernel = (left * values @ right).reshape(3, 3, 8, 16).astype(np.float32)
    result = np.asarray(orthogonalise(kernel)).reshape(72, 16)
    new = np.einsum("ij,ik,jk->j", left, result, right)
    assert ((new > 0.65) & (new < 1.25)).all(), new
    np.testing.assert_allclose(left * new @ right, result, atol=1e-4)


def test_in_16_bits_the_direction_is_nearly_the_same(rng):
    kernel = rng.normal(size=(3, 3, 48, 64)).astype(np.float32)
    short, long = (np.asarray(orthogonalise(kernel, d)).ravel() for d in ("bfloat16", "float32"))
    assert short.dtype == np.float32
    assert not np.array_equal(short, long)
    assert short @ long > 0.998 * np.linalg.norm(short) * np.linalg.norm(long)


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("float32", "float32"), ("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float32")],
)
def test_muon_computes_in_the_networks_precision(policy, dtype, params, rng, monkeypatch):
    seen = []
    monkeypatch.setattr(optimizers, "orthogonalise", lambda x, d: seen.append(d) or x)
    monkeypatch.setattr(keras.config, "dtype_policy", lambda: keras.DTypePolicy(policy))
    steps_of(params, recipe_of(params, optimizer="muon"), rng, steps=1)
    assert set(seen) == {dtype}


def small_model():
    image = keras.Input((8, 8, 3))
    convolutions = [keras.layers.Conv2D(4, 3, use_bias=False, name=name) for name in CONVOLUTIONS]
    x = keras.layers.Add()([convolution(image) for convolution in convolutions])
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dense(5, name="dense")(keras.layers.Flatten()(x))
    return keras.Model(image, x)


def recipe_of(params, **values):
    return params.recipe("model").model_copy(update=values)


def steps_of(params, recipe, rng, steps=3):
    """Three updates by given gradients; the variables, before and after, and the gradients."""
    model = small_model()
    optimizer = make_optimizer(recipe, params.train)
    variables = {v.path: v for v in model.trainable_variables}
    before = {name: v.numpy().astype(float) for name, v in variables.items()}
    gradients = [
        {name: rng.normal(size=v.shape).astype(np.float32) for name, v in variables.items()}
        for _ in range(steps)
    ]
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient[n]) for n in variables],
                        list(variables.values()))  # fmt: skip
    return before, {name: v.numpy() for name, v in variables.items()}, gradients


def nesterov(weights, gradients, rate, momentum, decay=0.0):
    """Nesterov momentum in the form of Sutskever et al., decay apart from the gradient."""
    velocity = np.zeros_like(weights)
    for gradient in gradients:
        weights = weights * (1 - rate * decay)
        velocity = momentum * velocity - rate * gradient
        weights = weights + momentum * velocity - rate * gradient
    return weights


def test_sgd_decays_kernels_alone(tiny_params, rng):
    recipe = recipe_of(
        tiny_params, optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.2
    )
    before, after, gradients = steps_of(tiny_params, recipe, rng)
    assert len(after) == 6
    for name, weights in before.items():
        decay = 0.2 if "kernel" in name else 0.0
        expected = nesterov(weights, [g[name] for g in gradients], 0.1, 0.9, decay)
        np.testing.assert_allclose(after[name], expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_muon_makes_the_steps_of_convolutions_orthogonal_and_is_sgd_elsewhere(
    tiny_params, rng, monkeypatch, momentum, rescale, gpu
):
    monkeypatch.setattr(optimizers, "has_gpu", lambda: gpu)
    recipe = recipe_of(
        tiny_params, optimizer="muon", learning_rate=0.1, muon_learning_rate=0.05,
        momentum=momentum, muon_momentum=0.8, weight_decay=0.2, muon_weight_decay=0.4,
        muon_rescale=rescale,
    )  # fmt: skip
    before, after, gradients = steps_of(tiny_params, recipe, rng)
    for name in (f"{convolution}/kernel" for convolution in CONVOLUTIONS):
        kernel, velocity = before[name], 0.0
        for gradient in gradients:
            velocity = 0.8 * velocity + gradient[name]
            if rescale:  # to norm 2, as the convolution has four filters
                kernel = kernel * 2 / np.linalg.norm(kernel)
            step = newton_schulz((gradient[name] + 0.8 * velocity).reshape(-1, 4))
            kernel = kernel - 0.05 * (step.reshape(kernel.shape) + 0.4 * kernel)
        np.testing.assert_allclose(after[name], kernel, atol=1e-5)
    dense = nesterov(
        before["dense/kernel"], [g["dense/kernel"] for g in gradients], 0.1, momentum, 0.2
    )
    np.testing.assert_allclose(after["dense/kernel"], dense, atol=1e-5)


def test_adam_without_decay_is_keras_own(tiny_params, rng):
    ours = make_optimizer(tiny_params.recipe("model"), tiny_params.train)
    keras_own = keras.optimizers.Adam(
        tiny_params.recipe("model").learning_rate,
        beta_1=tiny_params.train.adam_beta_1,
        beta_2=tiny_params.train.adam_beta_2,
        epsilon=tiny_params.train.adam_epsilon,
        global_clipnorm=tiny_params.train.clip_norm,
    )
    assert isinstance(ours, Adam)
    weights = [keras.Variable(np.ones((3, 4), "float32")) for _ in range(2)]
    for _ in range(4):
        gradient = rng.normal(size=(3, 4)).astype(np.float32)
        for optimizer, variable in zip((ours, keras_own), weights, strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    np.testing.assert_array_equal(*(w.numpy() for w in weights))


@pytest.mark.parametrize(("name", "kind"), [("adam", Adam), ("sgd", SGD), ("muon", Muon)])
def test_an_optimizer_goes_on_after_saving_as_if_it_had_not_been_saved(
    tiny_params, rng, tmp_path, name, kind
):
    """Also what is left out of the weight decay, which Keras' own exclusion forgets."""
    recipe = recipe_of(tiny_params, optimizer=name, weight_decay=0.1, muon_rescale=True)
    model = compile_model(small_model(), recipe, tiny_params.train)
    x = rng.normal(size=(8, 8, 8, 3)).astype(np.float32)
    y = rng.integers(0, 5, 8)
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert type(again.optimizer) is kind
    for each in (model, again):
        each.train_on_batch(x, y)
    np.testing.assert_equal(again.get_weights(), model.get_weights())


def test_muon_takes_a_depthwise_kernel_for_none_of_its_own():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, use_bias=False)(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, use_bias=False)(x))
    kernels = [optimizers._is_convolution(weight) for weight in model.trainable_weights]
    assert kernels == [False, True]
