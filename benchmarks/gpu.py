"""Time the training of every preset on this machine's GPU, or on its CPU, and say what limits it.

Each network of each preset trains by the project's own loop on random images of the full size; an
epoch of some steps is one measurement, and the first, which traces, is left out. On a GPU, *one
step a call* lets the host look at the loss after every step, *batches by the CPU* augments there,
and *kernels one by one* lets Muon orthogonalise each convolution by itself. *float32*, *bfloat16*
and *XLA* change one setting each. *PyTorch* is the same network with the tutorial's optimizer,
compiled, channels last, in the preset's precision. *busy* is the share of the device's peak that
the networks' operations use; the peak is that of a large matrix product in the same precision,
timed in the same run.
"""

import argparse
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any, cast
from unittest.mock import patch

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import tensorflow as tf
from matplotlib.figure import Figure

from benchmarks import torch_networks
from benchmarks.measure import make_parser, save
from benchmarks.steps import make_batch
from pipeline.core.records import Images, Prepared, make_records
from pipeline.core.sections import Recipe, TrainParams
from pipeline.networks.shared.devices import has_gpu
from pipeline.networks.shared.models import training_pflop
from pipeline.settings.params import Params, check_params
from pipeline.settings.presets import preset_names, preset_values
from pipeline.training import loop, optimizers
from pipeline.training.compiling import new_model
from pipeline.training.machine import configure_backend, resolve_precision

CLASSES, SIDE = 100, 32  # of the random images
FULL_SIZE = {"image_sizes": [], "stop_after_rising": None}
REMEDIES: dict[str, dict[str, Any]] = {
    "project": {},
    "one step a call": {},
    "batches by the CPU": {},
    "kernels one by one": {},
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "XLA": {"jit_compile": True},
}
UNDONE: dict[str, tuple[ModuleType, dict[str, Any]]] = {  # what these contenders switch off
    "one step a call": (loop, {"AT_ONCE": 1}),
    "batches by the CPU": (loop, {"ON_GPU": 0}),
    "kernels one by one": (optimizers, {"has_gpu": lambda: False}),
}


class RandomImages(dict[str, Images]):
    """What the training loop uses of prepared data."""

    image_size = SIDE


def epochs_of(
    network: str, recipe: Recipe, params: Params, train: TrainParams, steps: int
) -> tuple[list[float], float]:
    """Train; return images/s of each epoch but the first, and an image's operations in GFLOP."""
    configure_backend(train, 0)
    model = new_model(network, recipe, train, CLASSES, SIDE)
    images, labels = make_batch(steps * recipe.batch_size)
    data = Images(images.astype(np.uint8), make_records(labels, CLASSES))
    rows: list[dict[str, float]] = []
    prepared = cast("Prepared", RandomImages(train=data))
    trainer = loop.Trainer(prepared, recipe, params.augment, 0, True, None)
    trainer.fit(model, rows, lambda *_: None, verbose=0)
    gflop = 1e6 * training_pflop(model, 1)
    keras.backend.clear_session()
    return [row["images_per_second"] for row in rows[1:]], gflop


def torch_epochs(recipe: Recipe, train: TrainParams, steps: int, rounds: int) -> list[float]:
    """Return images/s of PyTorch's step, once per round."""
    batch = make_batch(recipe.batch_size)
    step = torch_networks.make_step(recipe, train, *batch, compiled=True)
    step()  # compiles
    speeds = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        speeds.append(steps * recipe.batch_size / (time.perf_counter() - start))
    return speeds


def peak(precision: str, side: int) -> float:
    """Return TFLOP/s of a product of two (side, side) matrices in a precision, the best of five."""
    dtype = {"float32": tf.float32, "mixed_float16": tf.float16}.get(precision, tf.bfloat16)
    a = tf.random.normal((side, side), dtype=tf.float32)
    a = tf.cast(a, dtype)
    product = tf.function(lambda x: tf.reduce_sum(tf.cast(tf.matmul(x, x), tf.float32)))
    float(product(a))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        float(product(a))
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds) / 1e12


def contenders(
    network: str, params: Params, arguments: argparse.Namespace
) -> Iterator[tuple[str, str, list[float], float]]:
    """Yield name, precision, images/s of each round, and an image's GFLOP, of each contender."""
    epochs = arguments.rounds + 1
    recipe = params.recipe(network).model_copy(update={**FULL_SIZE, "epochs": epochs})
    gflop = 0.0
    for name in arguments.contenders:
        train = params.train.model_copy(update=REMEDIES.get(name, {}))
        precision = resolve_precision(train.precision)
        train = train.model_copy(update={"precision": precision})
        if name in REMEDIES:
            module, values = UNDONE.get(name, (loop, {}))
            with patch.dict(vars(module), values):
                speeds, gflop = epochs_of(network, recipe, params, train, arguments.steps)
            yield name, precision, speeds, gflop
        elif network in torch_networks.NETWORKS:
            yield name, precision, torch_epochs(recipe, train, arguments.steps, epochs - 1), gflop


def measure(preset: str, arguments: argparse.Namespace) -> pd.DataFrame:
    """Return a row per network and contender of a preset."""
    params, rows = check_params(preset_values(preset)), []
    peaks: dict[str, float] = {}
    for network in params.train.networks:
        medians: dict[str, float] = {}
        for name, precision, speeds, gflop in contenders(network, params, arguments):
            if precision not in peaks:
                peaks[precision] = peak(precision, arguments.side)
            medians[name] = float(np.median(speeds))
            rows.append(
                {
                    "preset": preset, "network": network, "contender": name,
                    "precision": precision, "images/s": medians[name],
                    "lowest": min(speeds), "highest": max(speeds),
                    "ratio to project": medians[name] / medians["project"],
                    "busy, %": medians[name] * gflop / peaks[precision] / 10,
                }
            )  # fmt: skip
            print(pd.DataFrame(rows[-1:]).to_string(header=len(rows) == 1, float_format="%.3g"),
                  flush=True)  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    names = [*REMEDIES, "PyTorch"]
    parser.add_argument("--presets", nargs="+", choices=preset_names(), default=preset_names())
    parser.add_argument("--contenders", nargs="+", choices=names[1:], default=names[1:])
    parser.add_argument("--steps", type=int, default=100, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices of the peak")
    arguments = parser.parse_args()
    arguments.contenders = ["project", *arguments.contenders]
    table = pd.concat([measure(preset, arguments) for preset in arguments.presets])
    device = "CPU"
    if has_gpu():
        (gpu, *_) = tf.config.list_physical_devices("GPU")
        device = tf.config.experimental.get_device_details(gpu)["device_name"]
    facts = {"device": device, "rounds": arguments.rounds, "steps": arguments.steps}
    versions = {"tensorflow": tf.__version__, "torch": torch_networks.torch.__version__}
    save("gpu", table, plot, **facts, **versions)


def plot(rows: pd.DataFrame) -> Figure:
    """Plot each contender's speed relative to the project's, one panel per preset."""
    grid = sns.catplot(
        rows, kind="bar", x="ratio to project", y="contender", hue="network", col="preset",
        col_wrap=2, height=3, errorbar=None,
    )  # fmt: skip
    grid.refline(x=1)
    plt.close(grid.figure)
    return grid.figure


if __name__ == "__main__":
    main()
