"""Measure how the time of an epoch grows with images, width, batch size and seeds.

Each is varied alone around the middle: 2,000 images, width 0.125, batch 100, one seed. The peer is
the middle. An epoch is real: augmented batches, the step, nothing else; seeds are trained one after
the other, as the pipeline does.
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.measure import save
from benchmarks.steps import section
from pipeline.settings.params import Params, load_params
from pipeline.core.records import make_records
from pipeline.training.batches import make_train_dataset
from pipeline.training.compiling import new_model
from pipeline.training.machine import configure_backend

MIDDLE = {"images": 2_000, "width": 0.125, "batch": 100, "seeds": 1}
VARIED = {
    "images": [500, 1_000, 2_000, 4_000, 8_000],
    "width": [0.0625, 0.125, 0.25, 0.5],
    "batch": [25, 50, 100, 250, 500],
    "seeds": [1, 2, 3],
}


def settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is varied, and the whole setting."""
    for name, values in VARIED.items():
        for value in values:
            yield name, {**MIDDLE, name: value}


def epoch_seconds(params: Params, network: str, setting: dict[str, Any]) -> float:
    """Return the seconds of an epoch of all seeds, after one that warms up."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (setting["images"], 32, 32, 3), np.uint8)
    labels = np.arange(setting["images"]) % 100
    records = make_records(images, labels, labels)
    recipe = section(params, network, setting["width"], setting["batch"])
    total = 0.0
    for seed in range(setting["seeds"]):
        configure_backend(params.train, seed)
        model = new_model(network, recipe, params.train, 100)
        steps = setting["images"] // setting["batch"]
        dataset = make_train_dataset(records, setting["batch"], params.augment, seed)
        model.fit(dataset, steps_per_epoch=min(steps, 3), epochs=1, shuffle=False, verbose=0)
        start = time.perf_counter()
        model.fit(dataset, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
        total += time.perf_counter() - start
        keras.backend.clear_session()
    return total


def main() -> None:
    """Run the benchmark."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    params, rows = load_params(), []
    for network in params.train.networks:
        for name, setting in settings():
            seconds = epoch_seconds(params, network, setting)
            rows.append({"network": network, "varied": name, "value": setting[name],
                         "seconds": seconds})  # fmt: skip
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    middle = table[table["value"] == table["varied"].map(MIDDLE)]
    by_network = middle.groupby("network")["seconds"].median()
    table["ratio to the middle"] = table["seconds"] / table["network"].map(by_network)
    save("growth", table, plot, **MIDDLE)


def plot(table: pd.DataFrame) -> Figure:
    """Draw seconds against each varied setting, on logarithmic axes."""
    grid = sns.relplot(
        table, kind="line", x="value", y="seconds", hue="network", col="varied", marker="o",
        height=3, facet_kws={"sharex": False},
    )  # fmt: skip
    grid.set(xscale="log", yscale="log", xlabel="", ylabel="seconds an epoch")
    grid.set_titles("{col_name}")
    for name, axis in grid.axes_dict.items():
        values = sorted(table.loc[table["varied"] == name, "value"].unique())
        axis.set_xticks(values, labels=[f"{v:g}" for v in values], minor=False)
        axis.set_xticks([], minor=True)
    plt.close(grid.figure)
    return grid.figure


if __name__ == "__main__":
    main()
