"""The tutorial's building blocks, as functions from tensors to tensors.

Each function names its layers. The seeds of dropout depend on the order of the layers.
"""

from typing import Any

import keras
from keras import layers

from pipeline.core.recipe import drops_blocks, scaled
from pipeline.core.records import CHANNELS
from pipeline.core.sections import ConvNetParams, LayerParams
from pipeline.networks.shared.batch_norm import BatchNorm
from pipeline.networks.shared.convolution import Convolution
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.initializers import Dirac

Tensor = Any


def normalised_input(image_size: int) -> tuple[Tensor, Tensor]:
    """Return the network's input (pixels 0..255), and the float32 input scaled to -1..1."""
    inputs = layers.Input((image_size, image_size, CHANNELS), name="image")
    # In 16 bits, 1 / 127.5 and the product would be rounded: errors of up to 1.7 grey levels.
    rescaling = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="normalise")
    return inputs, rescaling(inputs)


def residual_block(
    x: Tensor,
    filters: int,
    kernel: int,
    recipe: ConvNetParams,
    name: str,
    *,
    skip: bool = True,
    first_relu: bool = True,
) -> Tensor:
    """Return ReLU(h1 + conv_block(h1)), where h1 = ReLU(conv_block(x)); height and width stay.

    Args:
        skip: False omits the addition of h1.
        first_relu: False omits the ReLU before the first convolution.
    """
    h1 = conv_block(x, filters, kernel, recipe, f"{name}_h1", first_relu)
    h1 = relu(h1, f"{name}_h1_relu")
    h2 = conv_block(h1, filters, kernel, recipe, f"{name}_h2")
    if skip:
        h2 = layers.Add(name=f"{name}_add")([h1, h2])
    return relu(h2, f"{name}_relu")


def conv_block(
    x: Tensor, filters: int, kernel: int, recipe: ConvNetParams, name: str, first_relu: bool = True
) -> Tensor:
    """Apply batch norm, ReLU and convolution twice; first_relu=False omits the first ReLU."""
    for half in ("a", "b"):
        x = batch_norm(x, recipe, f"{name}{half}_norm")
        if first_relu or half == "b":
            x = relu(x, f"{name}{half}_relu")
        x = convolution(x, filters, kernel, recipe, f"{name}{half}_conv")
    return x


def relu(x: Tensor, name: str) -> Tensor:
    """Set negative values to zero."""
    return layers.ReLU(name=name)(x)


def batch_norm(x: Tensor, recipe: LayerParams, name: str, **kwargs: Any) -> Tensor:
    """Normalise over the batch, with scale and offset; do nothing if batch_norm is off."""
    if not recipe.batch_norm:
        return x
    return BatchNorm(
        momentum=recipe.batch_norm_momentum, epsilon=recipe.batch_norm_epsilon, name=name, **kwargs
    )(x)


def initializer(recipe: LayerParams) -> str | Dirac:
    """Return what Keras takes as the initializer of a kernel."""
    return Dirac() if recipe.initializer == "dirac" else recipe.initializer


def convolution(x: Tensor, filters: int, kernel: int, recipe: LayerParams, name: str) -> Tensor:
    """Convolve with stride 1 and SAME padding; with a bias only if there is no batch norm."""
    return Convolution(
        scaled(filters, recipe.width),
        kernel,
        padding="same",
        use_bias=not recipe.batch_norm,
        kernel_initializer=initializer(recipe),
        name=name,
    )(x)


def max_pool(x: Tensor, recipe: ConvNetParams, name: str) -> Tensor:
    """Max-pool with SAME padding."""
    return layers.MaxPooling2D(recipe.pool_size, recipe.pool_stride, padding="same", name=name)(x)


def drop_block(x: Tensor, recipe: ConvNetParams, name: str) -> Tensor:
    """Drop blocks, starting with the first epoch's keep probability; nothing if it stays at 1."""
    if not drops_blocks(vars(recipe)):
        return x
    return DropBlock2D(
        recipe.conv_keep_start, recipe.drop_block_size, recipe.drop_block_oversize, name=name
    )(x)


def hidden_layer(x: Tensor, units: int, recipe: ConvNetParams, name: str) -> Tensor:
    """Apply a dense layer, batch norm, ReLU and dropout; no dropout if dense_keep is 1."""
    x = _dense(
        x, scaled(units, recipe.width), recipe, f"{name}_dense", use_bias=not recipe.batch_norm
    )
    x = batch_norm(x, recipe, f"{name}_norm")
    x = relu(x, f"{name}_relu")
    if recipe.dense_keep == 1:
        return x
    return layers.Dropout(1 - recipe.dense_keep, name=f"{name}_dropout")(x)


def _dense(x: Tensor, units: int, recipe: ConvNetParams, name: str, *, use_bias: bool) -> Tensor:
    return layers.Dense(
        units,
        use_bias=use_bias,
        kernel_initializer=initializer(recipe),
        name=name,
    )(x)


def classifier(
    inputs: Tensor, x: Tensor, recipe: ConvNetParams, classes: int, name: str
) -> keras.Model:
    """Add the end of a network: flatten, hidden layers, logits without ReLU or dropout.

    The logits have a batch norm, as in the tutorial, unless logits_norm is off.
    """
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(recipe.hidden_units, 1):
        x = hidden_layer(x, units, recipe, f"hidden{i}")
    normed = recipe.batch_norm and recipe.logits_norm
    x = _dense(x, classes, recipe, "logits_dense", use_bias=not normed)
    if normed:  # float32 from here on, even if the other layers compute in 16 bits
        x = batch_norm(x, recipe, "logits_norm", dtype="float32")
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)
