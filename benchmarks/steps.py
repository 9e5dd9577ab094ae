"""The training step of `fit`, on random pixels in memory, for timing."""

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.sections import Recipe
from pipeline.settings.params import Params

BATCH = 250  # for benchmarks that do not vary the batch size
KEEP = 0.9  # so that DropBlock is active, as in the middle of the resnet's schedule
Step = Callable[[], None]


def make_batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random pixels (size, 32, 32, 3) float32 and labels of 100 classes."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (size, 32, 32, 3)).astype(np.float32)
    return images, (np.arange(size) % 100).astype(np.int32)


def timed_recipe(params: Params, network: str, width: float, batch_size: int) -> Recipe:
    """Return a network's recipe at a given width and batch size, with DropBlock always active."""
    keeps = {"conv_keep_start": KEEP, "conv_keep_step": 0.0, "conv_keep_end": KEEP}
    changes = {"width": width, "batch_size": batch_size, **keeps}
    return params.recipe(network).model_copy(update=changes)


def keras_step(model: keras.Model, batch: tuple[np.ndarray, np.ndarray]) -> Step:
    """Return a function that runs the same step as `fit`."""
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    model.make_train_function()
    return lambda: float(model.train_function(iterator)["loss"]) and None


def images_per_second(step: Step, batch_size: int, seconds: float) -> Callable[[], float]:
    """Warm a step up; return a function that measures it for about `seconds`."""
    step()  # traces and compiles
    steps = max(1, round(seconds / seconds_per_step(step, 1)))
    return lambda: batch_size / seconds_per_step(step, steps)


def seconds_per_step(step: Step, steps: int) -> float:
    """Return the mean seconds of so many steps."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps
