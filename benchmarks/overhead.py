"""Measure what is not training: waiting for data, logging to MLflow, starting a command.

The peer of each is the training itself: a step, an epoch. Needs prepared data in this folder
(`dvc repro prepare`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import keras
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.measure import save
from benchmarks.steps import BATCH, section
from pipeline.core.files import PREPARED
from pipeline.settings.params import Params, load_params
from pipeline.core.records import Prepared
from pipeline.tracking.lifecycle import tracked_run
from pipeline.training.batches import make_train_dataset
from pipeline.training.compiling import new_model
from pipeline.training.machine import configure_backend

STEPS = 30
COMMANDS = {
    "report --help": [sys.executable, "-m", "pipeline", "report", "--help"],
    "prepare --help": [sys.executable, "-m", "pipeline", "prepare", "--help"],
    "train --help": [sys.executable, "-m", "pipeline", "train", "--help"],
    "dvc repro, unchanged": ["dvc", "repro"],
}


def waiting_share(params: Params, network: str, prepared: Prepared, width: float) -> float:
    """Return the share of the training time, 0 to 1, in which the step waits for its batch."""
    recipe = section(params, network, width, BATCH)
    configure_backend(params.train, 0)
    model = new_model(network, recipe, params.train, len(prepared.class_names))
    batch_size = min(recipe.batch_size, len(prepared["train"]))
    batches = iter(make_train_dataset(prepared["train"], batch_size, params.augment, seed=0))
    waited = trained = 0.0
    for step in range(STEPS):
        start = time.perf_counter()
        images, labels = next(batches)
        ready = time.perf_counter()
        model.train_on_batch(images, labels)
        if step >= 3:  # the first ones trace and compile
            waited += ready - start
            trained += time.perf_counter() - ready
    keras.backend.clear_session()
    return waited / (waited + trained)


def logging_seconds() -> float:
    """Return the seconds that sending an epoch's row to a fresh store takes, the median of 20."""
    row = dict.fromkeys(("train_loss", "val_loss", "train_accuracy", "val_accuracy", "seconds"), 1)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        with tracked_run("benchmark", {}) as run:
            for epoch in range(1, 21):
                start = time.perf_counter()
                run.log_history([{"epoch": epoch, **row}])
                times.append(time.perf_counter() - start)
        del os.environ["MLFLOW_TRACKING_URI"]
    return median(times)


def command_seconds(command: list[str], rounds: int = 5) -> float:
    """Return the median seconds that a command takes."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--widths", type=float, nargs="+", default=[0.125, 0.25])
    arguments = parser.parse_args()
    params, prepared = load_params(), Prepared(PREPARED)
    rows = [
        {
            "what": f"waiting for data, {network}, width {width}",
            "value": 100 * waiting_share(params, network, prepared, width),
            "unit": "% of the time",
        }
        for network in params.train.networks
        for width in arguments.widths
    ]
    rows.append({"what": "MLflow, an epoch", "value": logging_seconds(), "unit": "s"})
    rows += [
        {"what": name, "value": command_seconds(command), "unit": "s"}
        for name, command in COMMANDS.items()
    ]
    table = pd.DataFrame(rows)
    source = prepared.metadata["params"]["source"]
    save("overhead", table, plot, data=source, images=len(prepared["train"]))


def plot(rows: pd.DataFrame) -> Figure:
    """Draw the shares of waiting and the seconds."""
    grid = sns.catplot(
        rows, kind="bar", y="what", x="value", col="unit", sharex=False, sharey=False, height=3.2,
        aspect=1.6,
    )  # fmt: skip
    plt.close(grid.figure)
    return grid.figure


if __name__ == "__main__":
    if not Path("dvc.yaml").exists():
        sys.exit("error: run this in the project's folder")
    main()
