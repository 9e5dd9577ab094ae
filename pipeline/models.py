"""The two networks of the tutorial: the baseline (part 6) and the resnet (part 7)."""

import math
from pathlib import Path
from typing import Any

import keras
from keras import layers

from pipeline.batch_norm import BatchNorm
from pipeline.dropblock import DropBlock2D
from pipeline.errors import UserError
from pipeline.params import DISPLAY_NAMES, ModelParams, NetworkParams
from pipeline.records import IMAGE_SHAPE

Tensor = Any


def build_model(params: NetworkParams, classes: int) -> keras.Model:
    """Build an untrained network: the resnet from section `model`, else the baseline.

    Input: (batch, 32, 32, 3) sharpened pixels 0..255. Output: (batch, classes) float32 logits.
    """
    if isinstance(params, ModelParams):
        return build_resnet(params, classes)
    return build_baseline(params, classes)


def load_network(path: Path) -> keras.Model:
    """Load a trained network from a .keras file, in Keras' safe mode.

    Raises:
        UserError: the file is missing, damaged, or no .keras file.
    """
    if path.suffix != ".keras":
        raise UserError(f"{path}: only .keras files are loaded")
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be loaded ({reason}); run `dvc repro` to train") from None


def build_baseline(params: NetworkParams, classes: int) -> keras.Model:
    """Build part 6: conv blocks (batch norm, conv, max-pool, batch norm, ReLU, DropBlock)."""
    inputs, x = _normalised_input()
    for i, (filters, kernel) in enumerate(zip(params.filters, params.kernel_sizes, strict=True), 1):
        x = batch_norm(x, params, f"block{i}_in_norm")
        x = convolution(x, filters, kernel, params, f"block{i}_conv")
        x = max_pool(x, params, f"block{i}_pool")
        x = batch_norm(x, params, f"block{i}_out_norm")
        x = layers.ReLU(name=f"block{i}_relu")(x)
        x = drop_block(x, params, f"block{i}_dropblock")
    return _classifier(inputs, x, params, classes, name=DISPLAY_NAMES["baseline"])


def build_resnet(params: ModelParams, classes: int) -> keras.Model:
    """Build part 7: residual blocks, each followed by DropBlock and max-pool."""
    inputs, x = _normalised_input()
    for i, (filters, kernel) in enumerate(zip(params.filters, params.kernel_sizes, strict=True), 1):
        x = residual_block(x, filters, kernel, params, f"block{i}")
        x = drop_block(x, params, f"block{i}_dropblock")
        x = max_pool(x, params, f"block{i}_pool")
    return _classifier(inputs, x, params, classes, name=DISPLAY_NAMES["model"])


def residual_block(x: Tensor, filters: int, kernel: int, params: ModelParams, name: str) -> Tensor:
    """Add to h1 = ReLU(conv block of x) the conv block of h1, then ReLU; (h, w) stay.

    Without skip connections there is no addition.
    """
    h1 = layers.ReLU(name=f"{name}_h1_relu")(conv_block(x, filters, kernel, params, f"{name}_h1"))
    h2 = conv_block(h1, filters, kernel, params, f"{name}_h2")
    if params.skip_connections:
        h2 = layers.Add(name=f"{name}_add")([h1, h2])
    return layers.ReLU(name=f"{name}_relu")(h2)


def conv_block(x: Tensor, filters: int, kernel: int, params: NetworkParams, name: str) -> Tensor:
    """Apply batch norm, ReLU and convolution twice."""
    for half in ("a", "b"):
        x = batch_norm(x, params, f"{name}{half}_norm")
        x = layers.ReLU(name=f"{name}{half}_relu")(x)
        x = convolution(x, filters, kernel, params, f"{name}{half}_conv")
    return x


def batch_norm(x: Tensor, params: NetworkParams, name: str, **kwargs: Any) -> Tensor:
    """Normalise over the batch, with scale and centre; nothing where batch_norm is off."""
    if not params.batch_norm:
        return x
    return BatchNorm(
        momentum=params.batch_norm_momentum, epsilon=params.batch_norm_epsilon, name=name, **kwargs
    )(x)


def convolution(x: Tensor, filters: int, kernel: int, params: NetworkParams, name: str) -> Tensor:
    """Convolve with stride 1 and SAME padding; a bias only where there is no batch norm."""
    return layers.Conv2D(
        _scaled(filters, params.width),
        kernel,
        padding="same",
        use_bias=not params.batch_norm,
        kernel_initializer=params.initializer,
        name=name,
    )(x)


def max_pool(x: Tensor, params: NetworkParams, name: str) -> Tensor:
    """Max-pool with SAME padding."""
    return layers.MaxPooling2D(params.pool_size, params.pool_stride, padding="same", name=name)(x)


def drop_block(x: Tensor, params: NetworkParams, name: str) -> Tensor:
    """Drop blocks, at first with the keep probability of the first epoch; nothing at 1 for good."""
    if params.conv_keep_end == 1:
        return x
    return DropBlock2D(
        params.conv_keep_start, params.drop_block_size, params.drop_block_oversize, name=name
    )(x)


def hidden_layer(x: Tensor, units: int, params: NetworkParams, name: str) -> Tensor:
    """Apply matmul, batch norm, ReLU and dropout; no dropout where all is kept."""
    x = _dense(x, _scaled(units, params.width), params, f"{name}_dense")
    x = batch_norm(x, params, f"{name}_norm")
    x = layers.ReLU(name=f"{name}_relu")(x)
    if params.dense_keep == 1:
        return x
    return layers.Dropout(1 - params.dense_keep, name=f"{name}_dropout")(x)


def _dense(x: Tensor, units: int, params: NetworkParams, name: str) -> Tensor:
    return layers.Dense(
        units,
        use_bias=not params.batch_norm,
        kernel_initializer=params.initializer,
        name=name,
    )(x)


def _normalised_input() -> tuple[Tensor, Tensor]:
    inputs = layers.Input(IMAGE_SHAPE, name="image")
    return inputs, layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(inputs)


def _classifier(
    inputs: Tensor, x: Tensor, params: NetworkParams, classes: int, name: str
) -> keras.Model:
    """Flatten, hidden layers, and logits with their own batch norm but no ReLU or dropout."""
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(params.hidden_units, 1):
        x = hidden_layer(x, units, params, f"hidden{i}")
    x = _dense(x, classes, params, "logits_dense")
    # Full precision from here on, also where the rest computes in 16 bits.
    x = batch_norm(x, params, "logits_norm", dtype="float32")
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)


def _scaled(count: int, width: float) -> int:
    return max(1, round(count * width))


def count_flops(model: keras.Model) -> int:
    """Count the floating-point operations of one image's forward pass.

    Convolutions and dense layers only, a multiply-add as two operations.
    """
    flops = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            height, width, _ = layer.output.shape[1:]
            flops += 2 * math.prod(layer.kernel.shape) * height * width
        elif isinstance(layer, layers.Dense):
            flops += 2 * math.prod(layer.kernel.shape)
    return flops


def trainable_parameters(model: keras.Model) -> int:
    """Count the weights that training changes."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)
