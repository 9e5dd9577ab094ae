"""A trained network as a self-contained model for serving: raw uint8 in, probabilities out."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pipeline.core.records import CHANNELS
from pipeline.data.sharpen import SHARPEN_KERNEL_256
from pipeline.networks.shared.batch_norm import BatchNorm
from pipeline.networks.shared.convolution import Convolution
from pipeline.networks.shared.dropblock import DropBlock2D

# Keras' own layers that take the weights of this project's and compute the same at inference.
KERAS_LAYERS = {BatchNorm: layers.BatchNormalization, Convolution: layers.Conv2D}


def export_model(network: keras.Model, sharpen: bool) -> keras.Model:
    """Wrap a trained network in its preprocessing and a softmax.

    Keras' own layers replace this project's (DropBlock does nothing at inference and is left out),
    so that the result loads anywhere, in safe mode, unless a network has a layer of its own.

    Input: (batch, side, side, 3) uint8 raw pixels. Output: (batch, classes) float32 probabilities.
    """
    inputs = layers.Input(network.input_shape[1:], dtype="uint8", name="image")
    pixels = ops.cast(inputs, "float32")
    logits = _of_keras_layers(network)(_sharpen(pixels) if sharpen else pixels)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(inputs, probabilities, name=network.name)


def _sharpen(pixels: Any) -> Any:
    """Sharpen as `prepare` does: same kernel, reflect-101 border, rounding and saturation."""
    margin = SHARPEN_KERNEL_256.shape[0] // 2
    padded = ops.pad(pixels, [[0, 0], [margin, margin], [margin, margin], [0, 0]], mode="reflect")
    kernel = (SHARPEN_KERNEL_256 / 256).astype(np.float32)[:, :, np.newaxis, np.newaxis]
    filtered = layers.DepthwiseConv2D(
        SHARPEN_KERNEL_256.shape,
        use_bias=False,
        depthwise_initializer=keras.initializers.Zeros(),
        trainable=False,
        dtype="float32",
        name="sharpen",
    )
    result = filtered(padded)
    filtered.set_weights([np.repeat(kernel, CHANNELS, axis=2)])
    return ops.clip(ops.round(result), 0.0, 255.0)


def _of_keras_layers(network: keras.Model) -> keras.Model:
    """Copy a network, replacing this project's layers by Keras' own."""

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, DropBlock2D):
            return layers.Identity(name=layer.name)
        kind = KERAS_LAYERS.get(type(layer), type(layer))
        config = layer.get_config()
        if "dtype" in config:  # other machines are slow in 16 bits, or cannot compute in them
            config["dtype"] = "float32"
        # The weights are copied; an initializer of this project would have to be there to load it.
        config |= {key: "zeros" for key in config if key.endswith("_initializer")}
        return kind.from_config(config)

    clone = keras.models.clone_model(network, clone_function=replace, recursive=True)
    _copy_weights(network, clone)
    return clone


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    for old, new in zip(source.layers, target.layers, strict=True):
        if hasattr(old, "inputs"):  # made of layers, not a class of its own: it was cloned too
            _copy_weights(old, new)
        elif not isinstance(old, DropBlock2D):
            new.set_weights(old.get_weights())
