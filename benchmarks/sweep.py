"""Measure how sweeps scale with machines, and what a sweep adds to a training.

Trainings that only sleep, on 1, 2 and 4 Ray nodes on this machine, show the limits of Ray and the
sweep. A sweep of one training against `dvc exp run` of the same one shows the overhead.
"""

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import pandas as pd
import ray
from matplotlib.figure import Figure
from ray.cluster_utils import Cluster

from benchmarks.measure import make_parser, save, seconds_of_command
from pipeline.core.git import git
from pipeline.settings.trainings import Training
from pipeline.sweep import pool
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.task import Place
from pipeline.versioning.snapshot import Snapshot

NODES = (1, 2, 4)
PLACE = Place(None, Snapshot(b"", "", "", ""), {})
SLEEP = 2.0  # seconds of a training that sleeps
TINY = ("data.limit=200", "baseline.width=0.03", "baseline.epochs=2", "train.networks=[baseline]")


def sleep_instead(*_: object) -> Record:
    """Take the place of task.train."""
    time.sleep(SLEEP)
    return Record("model-dropblock-0", SLEEP, {})


def trainings_a_minute(nodes: int) -> float:
    """Return how many sleeping trainings a cluster of `nodes` Ray nodes finishes per minute."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, num_gpus=0, object_store_memory=80 << 20)
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    try:
        tasks = [
            (Task(f"{i}", f"{i}", Training("model", "dropblock", i), "x", ()), {})
            for i in range(10 * nodes)
        ]
        with mock.patch.object(pool, "train", sleep_instead):
            list(pool.train_all(tasks[:nodes], PLACE, 1, print))  # warm up
            start = time.perf_counter()
            list(pool.train_all(tasks, PLACE, 1, print))
            return 60 * len(tasks) / (time.perf_counter() - start)
    finally:
        ray.shutdown()
        cluster.shutdown()


def make_project(folder: Path) -> None:
    """Clone this project with a tiny training, committed."""
    git(Path.cwd(), "clone", "--quiet", ".", str(folder))
    seconds_of_command(folder, ["-m", "pipeline", "preset", "quick", *TINY])
    git(folder, "config", "user.name", "benchmark")
    git(folder, "config", "user.email", "benchmark@example.com")
    git(folder, "commit", "--quiet", "--all", "--message", "tiny")


def main() -> None:
    """Run the benchmark."""
    make_parser(__doc__).parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    rows = []

    def note(measured: str, at: int, value: float) -> None:
        rows.append({"measured": measured, "at": at, "value": value})
        print(rows[-1], flush=True)

    for nodes in NODES:
        note("trainings a minute", nodes, trainings_a_minute(nodes))
    with tempfile.TemporaryDirectory() as scratch:
        bare, swept = Path(scratch) / "bare", Path(scratch) / "swept"
        make_project(bare)
        make_project(swept)
        seconds_of_command(bare, ["-m", "dvc", "repro", "prepare"])
        seconds_of_command(swept, ["-m", "dvc", "repro", "prepare"])
        note("seconds, dvc exp run", 1, seconds_of_command(bare, ["-m", "dvc", "exp", "run"]))
        note("seconds, sweep", 1, seconds_of_command(swept, ["-m", "pipeline", "sweep"]))
    table = pd.DataFrame(rows)
    save("sweep", table, plot, sleep=SLEEP)


def plot(table: pd.DataFrame) -> Figure:
    """Plot how many sleeping trainings end per minute, and how many could."""
    shown = table[table["measured"] == "trainings a minute"]
    figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
    axis.plot(shown["at"], shown["value"], "o-", label="measured")
    axis.plot(shown["at"], 60 / SLEEP * shown["at"], "--", color="grey", label="possible")
    axis.set(xlabel="Ray nodes", ylabel="trainings a minute")
    axis.legend()
    plt.close(figure)
    return figure


if __name__ == "__main__":
    main()
