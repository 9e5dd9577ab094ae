"""What tells one run from another: its training, its process, its DVC experiment, its commit."""

import os
import socket
import time
from pathlib import Path

import psutil
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from pipeline.settings.trainings import Training

HEARTBEAT = "process.heartbeat"
BEAT, LEASE = 60.0, 600.0  # seconds between two heartbeats; without one for so long, it is dead


def training_tags(training: Training) -> dict[str, str]:
    """Return what tells a run from the others of its experiment."""
    return {
        "network": training.display_name,
        "variant": training.variant,
        "seed": str(training.seed),
    }


def process_tags() -> dict[str, str]:
    """Name this process so that another one can tell whether it still lives."""
    process = psutil.Process()
    return {
        "process.host": socket.gethostname(),
        "process.machine": machine_id(),
        "process.pid": str(process.pid),
        "process.started": f"{process.create_time():.2f}",
        HEARTBEAT: now(),
    }


def machine_id() -> str:
    """Name what numbers this process: a boot of a machine, and a container's numbers in it.

    Host names don't do: two machines or containers may have the same.
    """
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and numbers.exists():
        return f"{boot.read_text().strip()} {numbers.readlink()}"
    return socket.gethostname()


def now() -> str:
    """Return the time of a heartbeat, in seconds."""
    return f"{time.time():.0f}"


def is_dead(tags: dict[str, str]) -> bool:
    """Whether the process that process_tags named is gone.

    One of another machine is where it has given no sign of life for LEASE seconds; one whose tags
    tell of none is left alone.
    """
    if tags.get("process.machine") == machine_id():
        return not is_alive(tags)
    return time.time() - float(tags.get(HEARTBEAT, "inf")) > LEASE


def is_alive(tags: dict[str, str]) -> bool:
    """Whether the process of this machine that process_tags named still lives."""
    try:
        process = psutil.Process(int(tags["process.pid"]))
        same = abs(process.create_time() - float(tags["process.started"])) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return False


def source_name(training: Training) -> str:
    """Name the source of a run: the command, the experiment and the commit that it belongs to."""
    tags = context_tags()
    commit = tags["git.commit"][:7] or "no commit"
    return f"python -m pipeline train {training.title} ({tags['dvc.experiment']}, {commit})"


def context_tags() -> dict[str, str]:
    """Say which DVC experiment, stage and git commit this process works for."""
    commit, changes = _git_state()
    name = os.environ.get("DVC_EXP_NAME", "")
    return {
        "dvc.experiment": name or f"workspace-{commit[:7] or 'no-git'}",
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", "") or commit,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "git.commit": commit,
        "git.dirty": str(bool(changes)).lower(),
        **({"git.changes": ", ".join(changes)} if changes else {}),
    }


def _git_state() -> tuple[str, list[str]]:
    """Return the commit and what differs from it, code that it lacks too; nothing without git."""
    try:
        with Git() as repository:
            staged, unstaged, untracked = repository.status()
            changed = {file for files in staged.values() for file in files} | set(unstaged)
            changed |= {file for file in untracked if file.startswith("pipeline/")}
            return repository.get_rev(), sorted(changed)
    except SCMError:
        return "", []
