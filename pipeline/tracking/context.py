"""Tags that identify a run: its training, its process, its DVC experiment, its commit."""

import os
import socket
import time
from pathlib import Path

import psutil

from pipeline.core.errors import UserError
from pipeline.core.git import git
from pipeline.settings.trainings import Training

HEARTBEAT = "process.heartbeat"
BEAT, LEASE = 60.0, 600.0  # seconds between heartbeats; seconds without one that mean death


def training_tags(training: Training) -> dict[str, str]:
    """Return the tags that distinguish a run from the others of its experiment."""
    return {
        "network": training.display_name,
        "variant": training.variant,
        "seed": str(training.seed),
    }


def process_tags() -> dict[str, str]:
    """Return tags of this process, by which another process can tell whether it is still alive."""
    process = psutil.Process()
    return {
        "process.host": socket.gethostname(),
        "process.machine": machine_id(),
        "process.pid": str(process.pid),
        "process.started": f"{process.create_time():.2f}",
        HEARTBEAT: now(),
    }


def machine_id() -> str:
    """Return an id within which process ids are unique: the boot and the PID namespace.

    Host names are not enough: two machines or containers may have the same one.
    """
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and numbers.exists():
        return f"{boot.read_text().strip()} {numbers.readlink()}"
    return socket.gethostname()


def now() -> str:
    """Return the time of a heartbeat, in seconds."""
    return f"{time.time():.0f}"


def is_dead(tags: dict[str, str]) -> bool:
    """Whether the process described by process_tags is gone.

    A process on another machine counts as dead if its last heartbeat is more than LEASE seconds
    old; a run without a heartbeat tag never does.
    """
    if tags.get("process.machine") == machine_id():
        return not is_alive(tags)
    return time.time() - float(tags.get(HEARTBEAT, "inf")) > LEASE


def is_alive(tags: dict[str, str]) -> bool:
    """Whether the process on this machine described by process_tags is still alive."""
    try:
        process = psutil.Process(int(tags["process.pid"]))
        same = abs(process.create_time() - float(tags["process.started"])) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return False


def context_tags() -> dict[str, str]:
    """Return the DVC experiment, stage and git commit that this process runs for."""
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
    """Return the commit and the files that differ from it, new code included; empty without git."""
    here = Path.cwd()  # also where DVC runs an experiment in a copy
    try:
        commit = git(here, "rev-parse", "HEAD")
        changed = git(here, "diff", "--name-only", "--relative", "HEAD").splitlines()
        new = git(here, "ls-files", "--others", "--exclude-standard", "--", "pipeline").splitlines()
    except UserError:  # no git, or nothing committed yet
        return "", []
    return commit, sorted(changed + new)
