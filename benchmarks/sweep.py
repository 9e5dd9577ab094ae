"""Measure how sweeps scale with machines, and how commands scale with recorded experiments.

Trainings that only sleep, on 1, 2 and 4 Ray nodes on this machine, show the limits of Ray and the
sweep. A sweep of one training against `dvc exp run` of the same one shows the overhead. Commands
that read all experiments are timed with 20, 100 and 1,000 recorded experiments.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import pandas as pd
import ray
import seaborn as sns
from matplotlib.figure import Figure
from ray.cluster_utils import Cluster

from benchmarks.measure import save
from pipeline.settings.trainings import Training
from pipeline.sweep import pool
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.task import Place
from pipeline.versioning.command import user_environment
from pipeline.versioning.repository import git
from pipeline.versioning.snapshot import Snapshot

NODES = (1, 2, 4)
EXPERIMENTS = (20, 100, 1_000)
PLACE = Place(None, Snapshot(b"", "", "", ""), {})
SLEEP = 2.0  # seconds of a training that sleeps
TINY = ("data.limit=200", "baseline.width=0.03", "baseline.epochs=2", "train.networks=[baseline]")
READERS = {
    "dvc exp show": ["-m", "dvc", "exp", "show", "--csv"],
    "compare": ["-m", "pipeline", "compare"],
    "doctor": ["-m", "pipeline", "doctor"],
}


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


def seconds_of(folder: Path, arguments: Sequence[str]) -> float:
    """Return the seconds that a Python command takes in a project."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=user_environment(), check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


def make_project(folder: Path) -> None:
    """Clone this project with a tiny training, committed."""
    git(Path.cwd(), "clone", "--quiet", ".", str(folder))
    seconds_of(folder, ["-m", "pipeline", "preset", "quick", *TINY])
    git(folder, "config", "user.name", "benchmark")
    git(folder, "config", "user.email", "benchmark@example.com")
    git(folder, "commit", "--quiet", "--all", "--message", "tiny")


def record_copies(folder: Path, count: int) -> None:
    """Record copies of the project's only experiment, each with different params."""
    (ref,) = git(folder, "for-each-ref", "--format=%(refname)", "refs/exps/*/*/sweep-*").split()
    head = git(folder, "rev-parse", "HEAD")
    params = git(folder, "show", f"{ref}:params.yaml")
    listed = git(folder, "ls-tree", ref)
    for i in range(count):
        changed = re.sub(r"learning_rate: [\d.]+", f"learning_rate: {0.1 + i / 1e5:.5f}", params)
        assert changed != params
        blob = _piped(folder, "hash-object", "-w", "--stdin", given=changed)
        entry = f"100644 blob {blob}\tparams.yaml"
        tree = _piped(
            folder, "mktree", given=re.sub(r".*\tparams.yaml", lambda _, e=entry: e, listed)
        )
        commit = git(folder, "commit-tree", tree, "-p", head, "-m", f"copy {i}")
        git(folder, "update-ref", f"{ref.rsplit('/', 1)[0]}/copy-{i}", commit)


def _piped(folder: Path, *arguments: str, given: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, input=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main() -> None:
    """Run the benchmark."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
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
        seconds_of(bare, ["-m", "dvc", "repro", "prepare"])
        seconds_of(swept, ["-m", "dvc", "repro", "prepare"])
        note("seconds, dvc exp run", 1, seconds_of(bare, ["-m", "dvc", "exp", "run"]))
        note("seconds, sweep", 1, seconds_of(swept, ["-m", "pipeline", "sweep"]))
        seconds_of(swept, ["-m", "dvc", "repro"])
        for count in EXPERIMENTS:
            record_copies(swept, count)
            for name, command in READERS.items():
                note(f"seconds, {name}", count, seconds_of(swept, command))
    table = pd.DataFrame(rows)
    save("sweep", table, plot, sleep=SLEEP)


def plot(table: pd.DataFrame) -> Figure:
    """Plot the time of commands that read all experiments, on logarithmic axes."""
    readers = [f"seconds, {name}" for name in READERS]
    figure, axis = plt.subplots(figsize=(5, 4))
    chosen = table[table["measured"].isin(readers)]
    sns.lineplot(chosen, x="at", y="value", hue="measured", marker="o", ax=axis)
    axis.set(xscale="log", yscale="log", xlabel="recorded experiments", ylabel="seconds")
    plt.close(figure)
    return figure


if __name__ == "__main__":
    main()
