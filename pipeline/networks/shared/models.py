"""A network as a Keras model: build it by name, load it from a file, count its operations."""

import importlib
import json
import math
import pkgutil
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pipeline.core.errors import UserError, first_line
from pipeline.core.records import CHANNELS, Images
from pipeline.core.sections import Recipe
from pipeline.networks import FOLDER, code_errors, find_network

# Importing these registers their classes with Keras, so that files that have them can be loaded.
for module in pkgutil.iter_modules([str(FOLDER / "shared")]):
    importlib.import_module(f"pipeline.networks.shared.{module.name}")

ADAPTED_ON = 2000  # training images
MOST_INITIAL = 0.05  # share of a moving average
COUNTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)


def build_model(network: str, recipe: Recipe, classes: int, image_size: int) -> keras.Model:
    """Build an untrained network.

    Args:
        network: the name of a file of networks/, like `model`.
        recipe: its resolved recipe.
        image_size: the side of the images in pixels.

    Returns:
        A model that takes (batch, side, side, 3) prepared pixels 0..255 and returns (batch,
        classes) float32 logits.

    Raises:
        UserError: the network's file has an error, or it builds something else.

    >>> from pipeline.settings.params import load_params
    >>> build_model("model", load_params().recipe("model"), 10, image_size=32).output_shape
    (None, 10)
    """
    shape = (image_size, image_size, CHANNELS)
    with code_errors(network):
        model = find_network(network).build(recipe, classes, image_size)
        wrong = _breach(model, classes, shape)
    if wrong:
        raise UserError(
            f"{FOLDER / network}.py: build must return a keras.Model that takes images of shape "
            f"{shape} and returns (batch, {classes}) float32 logits; {wrong}"
        )
    return model


def adapt_model(network: str, model: keras.Model, images: Images) -> None:
    """Let an untrained network set weights from the first training images, if it does so."""
    with code_errors(network):
        if adapt := find_network(network).adapt:
            adapt(model, images.first(ADAPTED_ON)["image"])


def _breach(model: Any, classes: int, shape: tuple[int, ...]) -> str | None:
    """Say how the object that a builder returned breaks the contract; None if it does not."""
    if not isinstance(model, keras.Model):
        return f"it returned {type(model).__name__}"
    if getattr(model, "inputs", None) is None:
        return "its model has no Input: make a functional or Sequential one that starts with it"
    if tuple(model.input_shape[1:]) != shape:
        return f"it takes images of shape {tuple(model.input_shape[1:])}"
    if tuple(model.output_shape) != (None, classes):
        return f"it returns {tuple(model.output_shape)}"
    if (dtype := keras.backend.standardize_dtype(model.outputs[0].dtype)) != "float32":
        return f"it returns {dtype}: end it with Activation('linear', dtype='float32')"
    return None


def check_first_batch(network: str, model: keras.Model) -> None:
    """Predict a batch of noise with an untrained network.

    Raises:
        UserError: the outputs are not finite, or are probabilities; training would run with these,
            but learn badly, because the loss expects logits.
    """
    shape = (8, *model.input_shape[1:])
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    with code_errors(network):
        outputs = np.asarray(model(pixels, training=False), np.float64)
    if not np.isfinite(outputs).all():
        raise UserError(f"{FOLDER / network}.py: the untrained network's outputs are not finite")
    softmax = (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3)
    sigmoid = getattr(model.layers[-1], "activation", None) is keras.activations.sigmoid
    if softmax or sigmoid:
        raise UserError(
            f"{FOLDER / network}.py: the network ends in a {'softmax' if softmax else 'sigmoid'}; "
            "return logits instead, because the loss applies the softmax"
        )


def check_loading(network: str, model: keras.Model) -> None:
    """Check that an untrained network can be loaded once it is trained, without calling build.

    Raises:
        UserError: it has a layer that Keras does not find then, or does not allow, like a Lambda.
    """
    known = keras.saving.get_custom_objects()
    # Only build registers these; libraries' are found by their package, if Keras knows it.
    of_build = {k: v for k, v in known.items() if not v.__module__.startswith("pipeline.")
                or "<locals>" in v.__qualname__}  # fmt: skip
    for name in of_build:
        del known[name]
    try:
        if wrong := _loading_error(model):
            # Keras' error for the whole network does not name the layer.
            errors = ((layer, _loading_error(layer)) for layer in model.layers)
            part, wrong = next((found for found in errors if found[1]), (model, wrong))
            raise UserError(
                f"{FOLDER / network}.py: after training, {part.name} could not be loaded "
                f"({wrong}); CONTRIBUTING.md says where a layer of your own belongs"
            )
    finally:
        known.update(of_build)


def _loading_error(part: keras.Layer) -> str | None:
    """Say why Keras could not make this layer or network again from its configuration."""
    try:
        saved = keras.saving.serialize_keras_object(part)
        keras.saving.deserialize_keras_object(saved, safe_mode=True)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # each layer's configuration may fail in its own way
        return first_line(error)
    return None


def load_network(path: Path, *, compiled: bool = False) -> keras.Model:
    """Load a trained network from a .keras file, in Keras' safe mode.

    Args:
        compiled: load its optimizer too, to continue training; it must be registered with Keras.

    Raises:
        UserError: the file is missing, damaged, or not a .keras file.
    """
    if path.suffix != ".keras":
        raise UserError(f"{path}: only .keras files can be loaded")
    try:
        return keras.saving.load_model(path, safe_mode=True, compile=compiled)
    except MemoryError:
        raise
    except Exception as error:  # zipfile, zlib, JSON, HDF5 and Keras each have their own
        raise UserError(
            f"{path} cannot be loaded ({first_line(error)}); run `dvc repro` to train"
        ) from None


def at_size(model: keras.Model, size: int) -> keras.Model:
    """Return an untrained copy of a network for images of `size` x `size` pixels.

    Raises:
        UserError: its layers would leave nothing of such small images.
    """
    image = layers.Input((size, size, CHANNELS))
    try:
        return keras.models.clone_model(model, input_tensors=image)
    except ValueError as error:
        raise UserError(
            f"the {model.name} cannot take images of {size} pixels ({first_line(error)}); if it "
            "has networks inside, set its image_sizes: []"
        ) from None


def copy_network(source: Path, target: Path) -> None:
    """Copy a .keras file without the parts that differ between files of the same network.

    These are the date of saving, the archive's timestamps, and the memory addresses by which Keras
    marks data types that layers share (a network that was loaded and saved again has none). The
    copy depends only on architecture, weights and optimizer, so DVC sees whether these changed.
    """
    with ZipFile(source) as old, ZipFile(target, "w") as new:
        for name in old.namelist():
            entry = ZipInfo(name)  # dated 1980 and not compressed, as Keras writes it
            if name.endswith(".json"):
                new.writestr(entry, json.dumps(_without_traces(json.loads(old.read(name)))))
            else:
                with old.open(name) as read, new.open(entry, "w", force_zip64=True) as written:
                    shutil.copyfileobj(read, written, 1 << 20)


def _without_traces(config: Any) -> Any:
    if isinstance(config, dict):
        traces = {"date_saved"}
        if config.get("class_name") == "DTypePolicy":
            traces.add("shared_object_id")
        return {k: _without_traces(v) for k, v in config.items() if k not in traces}
    return [_without_traces(value) for value in config] if isinstance(config, list) else config


def count_flops(model: keras.Model, size: int | None = None) -> int:
    """Count the floating-point operations of one image's forward pass.

    Counts convolutions and dense layers only, also inside other layers, each time that they are
    applied; a multiply-add counts as two operations.

    Args:
        size: side of the image in pixels; None: the one that the network was built for.
    """
    if size is not None and size != model.input_shape[1]:
        model = at_size(model, size)
    counted: list[int] = []

    def counting(layer: keras.Layer) -> Callable[..., Any]:
        call = layer.call

        def count(*inputs: Any, **named: Any) -> Any:
            outputs = call(*inputs, **named)
            places = math.prod(outputs.shape[1:-1])  # at which the kernels are applied
            kernels = _matrices(layer.weights)
            counted.append(2 * places * sum(math.prod(kernel.shape) for kernel in kernels))
            return outputs

        return count

    watched = [layer for layer in _parts(model) if isinstance(layer, COUNTED)]
    for layer in watched:
        layer.call = counting(layer)
    try:
        model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)
    finally:
        for layer in watched:
            del layer.call
    return sum(counted)


def uncounted(model: keras.Model) -> list[str]:
    """Return the names of the layers with matrices of their own that count_flops leaves out."""
    found = []
    for layer in _parts(model):
        inside = {id(weight) for part in _parts(layer) for weight in part.weights}
        own = [weight for weight in layer.trainable_weights if id(weight) not in inside]
        if _matrices(own) and not isinstance(layer, COUNTED):
            found.append(layer.name)
    return found


def unsettled(model: keras.Model, steps: int) -> list[str]:
    """Return the batch norms whose moving averages still contain much of their initial values.

    Args:
        steps: of the whole training.
    """
    return [
        layer.name
        for layer in _parts(model)
        if isinstance(layer, layers.BatchNormalization) and layer.momentum**steps > MOST_INITIAL
    ]


def _parts(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield the layers inside a layer, at any depth; Keras has no public way to list them."""
    yield from layer._flatten_layers(include_self=False)


def _matrices(weights: list[keras.Variable]) -> list[keras.Variable]:
    return [weight for weight in weights if len(weight.shape) > 1]


def training_pflop(model: keras.Model, images: int, size: int | None = None) -> float:
    """Return the compute of training on `images` images, in 1e15 floating-point operations.

    Args:
        size: as in count_flops.

    It is three times the forward pass, because the backward pass costs twice as much as the forward
    pass (Kaplan et al., arXiv 2001.08361).
    """
    return 3 * count_flops(model, size) * images / 1e15


def trainable_parameters(model: keras.Model) -> int:
    """Count the trainable weights."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)
