"""Where the stages leave their files, relative to the project's folder."""

import os
from pathlib import Path

from pipeline.params import Network

PREPARED = Path("data/prepared")
OUTPUTS = Path("outputs")
REPORTS = Path("reports")


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


def run_label(network: Network, seed: int) -> str:
    """Name a training in files and stages, like `model-0`."""
    return f"{network}-{seed}"


def models_folder(network: Network, seed: int) -> Path:
    """Best and last weights."""
    return OUTPUTS / "models" / run_label(network, seed)


def history_file(network: Network, seed: int) -> Path:
    """A row for each epoch."""
    return OUTPUTS / "history" / f"{run_label(network, seed)}.csv"


def run_file(network: Network, seed: int) -> Path:
    """The MLflow run and the facts of the training."""
    return OUTPUTS / "runs" / f"{run_label(network, seed)}.json"


def evaluation_folder(network: Network, seed: int) -> Path:
    """Metrics and predictions."""
    return OUTPUTS / "evaluation" / run_label(network, seed)
