"""Profile the training step of both networks by kind of operation, in plain Keras and here.

TensorFlow's profiler gives the milliseconds per step that each kind of operation keeps a thread
busy, at batch 250. With several threads the sum exceeds the step's time.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import tensorflow as tf
from matplotlib.figure import Figure
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.measure import make_parser, save
from benchmarks.steps import BATCH, timed_recipe
from benchmarks.train_step import contenders
from pipeline.settings.params import Params, load_params

STEPS = 5
SHOWN = 10  # kinds of operation listed by name; the others are summed
BEFORE, AFTER = "keras", "project"


def operation_times(step: Callable[[], None]) -> Counter[str]:
    """Return the milliseconds per step, by kind of operation."""
    for _ in range(2):  # traces and compiles
        step()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(STEPS):
                step()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    times: Counter[str] = Counter()
    for plane in space.planes:
        if "CPU" not in plane.name:
            continue
        kinds = {key: kind_of(event.name) for key, event in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            if kind := kinds[event.metadata_id]:
                times[kind] += event.duration_ps / 1e9 / STEPS
    return times


def kind_of(event: str) -> str | None:
    """Return the kind of operation of an event (`conv/Conv2D:_MklNativeConv2D`); None if none."""
    _, separator, kind = event.rpartition(":")
    if not separator or "::" in event or "__inference" in kind:  # the whole step
        return None
    return kind.removeprefix("_Mkl").removeprefix("Native")


def profile_network(params: Params, network: str, width: float) -> pd.DataFrame:
    """Return the milliseconds of each kind of operation: a column for Keras and the project."""
    steps = dict(
        contenders(network, timed_recipe(params, network, width, BATCH), params.train, [BEFORE])
    )
    table = pd.DataFrame({name: operation_times(steps[name]) for name in (BEFORE, AFTER)}).fillna(0)
    keras.backend.clear_session()
    table = table.loc[table.max(axis=1).sort_values(ascending=False).index]
    table = (
        pd.concat(
            [
                table.head(SHOWN),
                table.tail(-SHOWN).sum().to_frame("the others").T,
                table.sum().to_frame("all").T,
            ]
        )
        .rename_axis("operation")
        .reset_index()
    )
    table.insert(0, "network", network)
    return table


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument("--width", type=float, default=0.125)
    width = parser.parse_args().width
    params = load_params()
    table = pd.concat(
        [profile_network(params, n, width) for n in params.train.networks], ignore_index=True
    )
    save("step_profile", table, plot, unit="ms a step", width=width, steps=STEPS)


def plot(rows: pd.DataFrame) -> Figure:
    """Plot the milliseconds of each kind of operation, one panel per network."""
    tall = rows[rows["operation"] != "all"].melt(
        ["network", "operation"], [BEFORE, AFTER], "contender", "ms a step"
    )
    grid = sns.catplot(
        tall, kind="bar", y="operation", x="ms a step", hue="contender", col="network",
        height=4.5, sharex=False, sharey=False, errorbar=("pi", 100),
    )  # fmt: skip
    plt.close(grid.figure)
    return grid.figure


if __name__ == "__main__":
    main()
