"""Measure how the time of commands that read all experiments grows with their number.

There are 20, 100 and 1,000 different experiments, each as large as a real one: two networks with
six seeds on 10,000 test images of 100 classes. The results are made up; commits, dvc.lock and
DVC's cache are as `dvc exp run` leaves them.
"""

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import yaml
from matplotlib.figure import Figure

from benchmarks.measure import make_parser, save, seconds_of_command
from pipeline.core.files import COMPARISON, PREDICTIONS, PREPARED, write_json
from pipeline.core.git import git
from pipeline.reporting.audit import THIS_RUN, Answers, save_answers
from pipeline.settings.edits import apply
from pipeline.settings.presets import preset_text
from pipeline.settings.trainings import Training
from pipeline.versioning.repository import experiment_ref, load_fast

EXPERIMENTS = (20, 100, 1_000)
SEEDS, IMAGES, CLASSES = range(6), 10_000, 100
DIGEST = "d1" * 32
COMMANDS = {
    "compare": ["-m", "pipeline", "compare"],
    "lookup": ["-m", "pipeline", "lookup"],
    "doctor": ["-m", "pipeline", "doctor"],
}


def make_project(folder: Path) -> None:
    """Clone this project, with the metadata of prepared data."""
    git(Path.cwd(), "clone", "--quiet", ".", str(folder))
    git(folder, "config", "user.name", "benchmark")
    git(folder, "config", "user.email", "benchmark@example.com")
    write_json(folder / PREPARED / "metadata.json", {"digest": DIGEST})


@cache
def params_text() -> str:
    """Return the params of an experiment, in which `record` changes the learning rate."""
    return apply(preset_text("quick", {}), {"train.seeds": list(SEEDS)})


def record(folder: Path, number: int) -> None:
    """Record an experiment with a different learning rate and different results."""
    rate = f"{0.01 + number / 1e5:.5f}"
    text = params_text().replace("learning_rate: 0.05 ", f"learning_rate: {rate} ", 1)
    assert rate in text
    sections = load_fast(text.encode())
    outputs, answers = {}, make_answers(number)
    with tempfile.TemporaryDirectory() as scratch:
        save_answers(Path(scratch) / "answers.npz", answers)
        outputs[str(PREDICTIONS)] = (Path(scratch) / "answers.npz").read_bytes()
    outputs[str(COMPARISON)] = as_json(summarise(answers, number))
    for training in (Training(n, "dropblock", s) for n in ("baseline", "model") for s in SEEDS):
        facts = {"training": f"{number:016x}-{training.seed}"}
        outputs[str(training.facts_file)] = as_json(facts)
    stages: dict[str, Any] = {"report": stage({})}
    for path, content in outputs.items():
        out = {"path": path, "hash": "md5", "md5": cached(folder, content), "size": len(content)}
        if path.startswith("outputs/facts"):
            stages[f"train@{Path(path).stem}"] = stage(sections, out)
        else:
            stages["report"]["outs"].append(out)
    # By libyaml, as versioning's write_lock takes most of the time with a thousand of them.
    lock = yaml.dump({"schema": "2.0", "stages": stages}, Dumper=yaml.CSafeDumper)
    (folder / "dvc.lock").write_text(lock)
    (folder / "params.yaml").write_text(text)
    git(folder, "add", "params.yaml", "dvc.lock")
    head, tree = git(folder, "rev-parse", "HEAD"), git(folder, "write-tree")
    commit = git(folder, "commit-tree", tree, "-p", head, "-m", f"experiment {number}")
    git(folder, "update-ref", experiment_ref(head, f"experiment-{number}"), commit)


def make_answers(number: int) -> dict[str, Answers]:
    """Return made-up answers of two networks with six seeds."""
    rng, found = np.random.default_rng(number), {}
    for network in ("baseline", "resnet"):
        for seed in SEEDS:
            predicted, right = rng.integers(0, CLASSES, IMAGES), rng.random(IMAGES) < 0.6
            scores = -rng.random(IMAGES).astype(np.float16)
            answers = Answers(predicted, right, scores, scores, ~right)
            found[f"{THIS_RUN}/{network}/dropblock/{seed}"] = answers
    return found


def summarise(answers: dict[str, Answers], number: int) -> dict[str, Any]:
    """Return the parts of comparison.json that the commands read."""
    right: dict[str, dict[str, int]] = {"baseline": {}, "resnet": {}}
    for name, answer in answers.items():
        _, network, _, seed = name.split("/")
        right[network][seed] = int(answer.right.sum())
    return {
        "digest": DIGEST,
        "scored": "test",
        "images": IMAGES,
        "reference": "baseline",
        "sections": {"baseline": "baseline", "resnet": "model"},
        "settings": {network: f"{network}-{number}" for network in right},
        "accuracy": {network: {"right": counts} for network, counts in right.items()},
    }


def stage(params: dict[str, Any], *outs: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of dvc.lock."""
    return {"cmd": "true", "params": {"params.yaml": params}, "outs": list(outs)}


def as_json(values: dict[str, Any]) -> bytes:
    """Write JSON as the stages do."""
    return json.dumps(values, indent=1).encode()


def cached(folder: Path, content: bytes) -> str:
    """Put a file into DVC's cache and return its MD5."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    file = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return md5


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=EXPERIMENTS)
    counts, rows = parser.parse_args().counts, []
    with tempfile.TemporaryDirectory() as scratch:
        folder, made = Path(scratch) / "project", 0
        make_project(folder)
        for count in counts:
            for number in range(made, count):
                record(folder, number)
            made = count
            for name, command in COMMANDS.items():
                # `doctor` exits with 1 if it leaves something to the user.
                seconds = seconds_of_command(folder, command, accepted=(0, 1))
                rows.append({"command": name, "experiments": count, "seconds": seconds})
                print(rows[-1], flush=True)
    save("experiments", pd.DataFrame(rows), plot, seeds=len(SEEDS), images=IMAGES)


def plot(table: pd.DataFrame) -> Figure:
    """Plot seconds against the number of experiments, on logarithmic axes."""
    figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
    sns.lineplot(table, x="experiments", y="seconds", hue="command", marker="o", ax=axis)
    axis.set(xscale="log", yscale="log", xlabel="recorded experiments")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter("{x:g}")
    plt.close(figure)
    return figure


if __name__ == "__main__":
    main()
