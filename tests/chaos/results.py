"""What must be the same in an interrupted and an uninterrupted run."""

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.api import DVCFileSystem

from pipeline.tracking.views import NOTE
from tests.store_contents import contents
from tests.sweep.compared import without_measured

TIMES = ["seconds", "images_per_second", "peak_memory_mb", "elapsed"]
# Tags that hash files with times in them, and tags that name experiments.
PASSING = {"history", "scores", "report", "dvc.experiment", "dvc.experiments",
           "mlflow.source.name", "mlflow.user"}  # fmt: skip


def results_of(folder: Path, revisions: list[str]) -> dict[str, str]:
    """Return digests of the weights, histories, scores and predictions, and of MLflow's store.

    Args:
        revisions: the experiments' references in git.
    """
    found = set()
    for revision in revisions:
        read = {name: content(name, data) for name, data in files_of(folder, revision).items()}
        found.add(json.dumps({name: text for name, text in read.items() if text}))
    experiments = {f"experiment {i}, {name}": text for i, each in enumerate(sorted(found))
                   for name, text in json.loads(each).items()}  # fmt: skip
    return experiments | {f"store, {key}": text for key, text in store_of(folder).items()}


def files_of(folder: Path, revision: str) -> dict[str, bytes]:
    """Return an experiment's outputs and reports."""
    files = DVCFileSystem(str(folder), rev=revision)
    names = sorted(n for top in ("outputs", "reports") for n in files.find(f"/{top}"))
    return {name.lstrip("/"): files.read_bytes(name) for name in names}


def lacking(folder: Path, revisions: list[str]) -> list[str]:
    """Return the names of the experiments with files that DVC's cache does not have."""
    found = []
    for revision in revisions:
        try:
            files_of(folder, revision)
        except Exception:  # DVC raises different ones for files and for folders
            found.append(revision.rpartition("/")[2])
    return found


def content(name: str, data: bytes) -> str:
    """Return what counts of a file: without times; "" for pages that show times."""
    if name.endswith(".csv"):
        table = pd.read_csv(io.BytesIO(data), float_precision="round_trip")
        return digest(table.drop(columns=TIMES, errors="ignore").to_csv())
    if name.endswith(".json"):
        values = without_measured(json.loads(data))
        return digest({key: v for key, v in values.items() if key != "ended"})
    return "" if name.endswith((".md", ".html", ".svg")) else digest(data)


def digest(value: Any) -> str:
    """Return a short hash of bytes or of a value as JSON."""
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(value).hexdigest()[:16]


def store_of(folder: Path) -> dict[str, str]:
    """Return digests of the store's finished runs and what belongs to them, without times.

    Runs that ended before their first checkpoint stay, as KILLED or FAILED: nothing to compare.
    """
    found = contents(folder)
    ended = ("FINISHED", "KILLED", "FAILED")
    runs = [run for run in found["runs"] if run["name"][1] == "FINISHED"]
    for run in runs:
        run["tags"] = {k: v for k, v in run["tags"].items() if k not in PASSING}
        run["points"].pop("training_minutes", None)
    models = [(*m[:3], {k: v for k, v in m[3].items() if k not in PASSING}, *m[4:])
              for m in found["models"] if "FINISHED>" in m[2]]  # fmt: skip
    told = {f"runs, {key}": digest([run[key] for run in runs]) for key in (runs or [()])[0]}
    # The description is of what was published last, which may be an experiment that was repeated.
    described = {key: text for key, text in found["experiment"].items() if key != NOTE}
    return told | {
        "open runs": str([r["name"] for r in found["runs"] if r["name"][1] not in ended]),
        "names of runs": str([run["name"][0] for run in runs]),
        "experiment": digest(re.sub(r"/runs/[^/]*/", "/", str(described))),
        "models": digest(models),
        "champion": str([
            (name, [v[3] for v in versions if v[0] == aliases.get("champion")])
            for name, _, aliases, versions in found["registry"]
        ]),
    }  # fmt: skip
