"""Faults: what is done to the processes of a run or to its files."""

import os
import random
import resource
import signal
from contextlib import suppress
from pathlib import Path

import psutil

BALLAST = "ballast"
NOTHING = "no such file yet"
# Files that a disk or a power cut may damage, by where they are in a project.
DAMAGED = {
    "a damaged output": "outputs/**/*",
    "a damaged cache file": ".dvc/cache/files/**/*",
    "a damaged checkpoint": ".training/*/epoch-*/*",
    "a damaged dvc.lock": "dvc.lock",
    "a damaged mlflow.db": "mlflow.db",
}
POWER_CUT, TERM, INTERRUPT, CHILD, DISK = (
    "SIGKILL of all processes", "SIGTERM of the command", "Ctrl-C", "SIGKILL of one process",
    "full disk",
)  # fmt: skip
WEIGHTS = {POWER_CUT: 3, TERM: 2, INTERRUPT: 2, CHILD: 3, DISK: 3, **dict.fromkeys(DAMAGED, 1)}


def others() -> list[psutil.Process]:
    """Return all other processes of this PID namespace, whose first process this one is."""
    found = psutil.process_iter(["status"])
    return [p for p in found if p.pid != os.getpid() and p.info["status"] != psutil.STATUS_ZOMBIE]


def cpu_seconds() -> float:
    """Return what all processes of this namespace but this one have used, also those that ended."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = own.ru_utime + own.ru_stime
    for process in others():
        with suppress(psutil.Error):
            spent += sum(process.cpu_times()[:4])  # with its children's, once it has collected them
    return spent


def kill_all() -> None:
    """Kill every process of this namespace but this one, at once."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def inject(kind: str, leader: int, disk: Path, project: Path, rng: random.Random) -> str:
    """Inject a fault; return what it hit, if it did not hit everything.

    Args:
        leader: process id of the command, and of its process group; if it has ended, the worker
            that it left running counts as the command.
        disk: where a file system of its own is mounted, on which the project is.

    Raises:
        ProcessLookupError: the process to hit has just ended.
    """
    running = others()
    if leader not in {process.pid for process in running}:
        leader = min((process.pid for process in running), default=leader)
    if kind == TERM:
        os.kill(leader, signal.SIGTERM)
    elif kind == INTERRUPT:  # a terminal sends it to the whole group
        os.killpg(os.getpgid(leader), signal.SIGINT)
    elif kind == CHILD:
        victim = rng.choice(running)
        hit = describe(victim)
        os.kill(victim.pid, signal.SIGKILL)
        return hit
    elif kind == DISK:
        fill(disk)
    else:
        kill_all()
        return damage(kind, project, rng) if kind in DAMAGED else ""
    return ""


def describe(process: psutil.Process) -> str:
    """Return a process's name and the first short words of its command line."""
    try:
        words = [word for word in process.cmdline()[1:] if "/" not in word and len(word) < 30]
        return " ".join([process.name(), *words[:3]])
    except psutil.Error:
        return "a process that was ending"


def stage() -> str:
    """Return the stages that run now; without one, what DVC or Ray does is between two stages."""
    found = set()
    for process in others():
        try:
            found.add(process.environ().get("DVC_STAGE", ""))
        except psutil.Error:
            continue
    return " ".join(sorted(found - {""})) or "between stages"


def fill(disk: Path) -> None:
    """Leave no free byte on the file system."""
    with (disk / BALLAST).open("wb") as file:
        while free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
            except OSError:  # a running process was faster
                continue


def damage(kind: str, project: Path, rng: random.Random) -> str:
    """Truncate a file, empty it, or change a byte of it; return which, and how."""
    files = sorted(f for f in project.glob(DAMAGED[kind]) if f.is_file() and f.stat().st_size)
    if not files:
        return NOTHING
    file = rng.choice(files)
    content, how = bytearray(file.read_bytes()), rng.choice(("cut", "emptied", "a byte changed"))
    place = rng.randrange(len(content))
    if how == "a byte changed":
        content[place] ^= 1 << rng.randrange(8)
    else:
        del content[place if how == "cut" else 0 :]
    mode = file.stat().st_mode
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(mode)
    return f"{file.relative_to(project)}, {how}"
