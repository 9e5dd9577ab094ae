"""No training outlives the process that asked for it, and each ends as on Ctrl-C.

Ray starts a lost task anew elsewhere. What it can do about the old one's child processes
(RAY_process_group_cleanup_enabled) is SIGKILL, which leaves MLflow's run open, and nothing where
the raylet itself is lost. Hence a guard between worker and training, out of the worker's reach: it
reads from a pipe of which the worker holds the other end, and ends the training when that end is
closed, however the worker died.

This file is run by its path and imports nothing of the project, to start at once.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

LOOK = 0.2  # seconds between two looks at the training
SUBREAPER = 36  # of Linux' prctl: orphans among the descendants become children of this process
PARENT = (
    os.getppid()
)  # in a worker, Ray's raylet: where that is gone, Ray takes the worker for lost
GRACE = 30.0  # seconds between SIGTERM, at which a training closes its MLflow run, and SIGKILL
LAST = 5.0  # seconds after SIGKILL


class ParentLostError(BaseException):
    """The work is done elsewhere by now; not an Exception, so that nothing here tries again."""


def run_fenced(command: list[str], folder: Path, environment: dict[str, str], log: IO) -> int:
    """Run a command and return its exit code; it ends when this process or this call does.

    Args:
        log: an open file that takes what the command says.

    Raises:
        ParentLostError: this process has lost its parent.
    """
    guard = subprocess.Popen(
        [sys.executable, __file__, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches the sweep only
    )
    # Ray interrupts a task that it cancels without a signal, which ends no wait() of the system's,
    # and again and again.
    try:
        while guard.poll() is None:
            if os.getppid() != PARENT:
                raise ParentLostError("the process that had started this one is gone")
            time.sleep(LOOK)
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        while guard.poll() is None:
            with suppress(KeyboardInterrupt):
                time.sleep(LOOK)
    return guard.returncode


def guard(command: list[str]) -> int:
    """Run a command until it ends or standard input is closed; nothing it started is left."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not select.select([sys.stdin], [], [], LOOK)[0]:
        pass
    end_group(process)
    return process.returncode


def end_group(process: subprocess.Popen) -> None:
    """End all that is left of a process group: by SIGTERM, and after a while by SIGKILL."""
    for chosen, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, LAST)):
        deadline = time.monotonic() + patience
        with suppress(ProcessLookupError):
            os.killpg(process.pid, chosen)
        while process.poll() is None or _exists(process.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK)
        else:
            return


def _exists(group: int) -> bool:
    """Whether a group whose first process has ended has others; those that ended are reaped."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def main() -> None:
    """Guard in a process that is no child of the caller, whose exit code this one passes on."""
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        os.setsid()
        # The first process of a container may reap no orphans: a group of the dead would seem to
        # go on. Other systems than Linux have no prctl.
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        code = guard(sys.argv[1:])
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
