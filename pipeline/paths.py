"""Where the stages leave their files, relative to the project's folder."""

import os
from pathlib import Path

from pipeline.params import Trial

PREPARED = Path("data/prepared")
OUTPUTS = Path("outputs")
REPORTS = Path("reports")
COMPARISON = REPORTS / "comparison.json"
REGISTERED = OUTPUTS / "registered.json"


def project_root() -> Path:
    """Return the main repository, also from the copy in which DVC runs --temp and queued runs."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            return folder
    return here


def work_folder() -> Path:
    """Return the main repository's folder of checkpoints and locks, made where it is missing."""
    folder = project_root() / ".training"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def models_folder(trial: Trial) -> Path:
    """Best and last weights."""
    return OUTPUTS / "models" / trial.label


def history_file(trial: Trial) -> Path:
    """A row for each epoch."""
    return OUTPUTS / "history" / f"{trial.label}.csv"


def run_file(trial: Trial) -> Path:
    """The MLflow run and the facts of the training."""
    return OUTPUTS / "runs" / f"{trial.label}.json"


def evaluation_folder(trial: Trial) -> Path:
    """Metrics and predictions."""
    return OUTPUTS / "evaluation" / trial.label
