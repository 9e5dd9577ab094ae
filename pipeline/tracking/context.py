"""What tells one run from another: its training, its process, its DVC experiment, its commit."""

import os
import socket

import psutil
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from pipeline.core.trials import Trial


def trial_tags(trial: Trial) -> dict[str, str]:
    """Return what tells a run from the others of its experiment."""
    return {"network": trial.display_name, "variant": trial.variant, "seed": str(trial.seed)}


def process_tags() -> dict[str, str]:
    """Name this process so that another one can tell whether it still lives."""
    process = psutil.Process()
    return {
        "process.host": socket.gethostname(),
        "process.pid": str(process.pid),
        "process.started": f"{process.create_time():.2f}",
        "end_reason": "",
    }


def is_alive(tags: dict[str, str]) -> bool:
    """Whether the process that process_tags named still lives."""
    try:
        process = psutil.Process(int(tags["process.pid"]))
        same = abs(process.create_time() - float(tags["process.started"])) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return False


def context_tags() -> dict[str, str]:
    """Say which DVC experiment, stage and git commit this process works for."""
    commit, dirty = _git_state()
    name = os.environ.get("DVC_EXP_NAME", "")
    return {
        "dvc.experiment": name or f"workspace-{commit[:7] or 'no-git'}",
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", "") or commit,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "git.commit": commit,
        "git.dirty": str(dirty).lower(),
    }


def _git_state() -> tuple[str, bool]:
    """Return the commit and whether tracked files differ from it; nothing without git."""
    try:
        with Git() as repository:
            return repository.get_rev(), repository.is_dirty(untracked_files=False)
    except SCMError:
        return "", False
