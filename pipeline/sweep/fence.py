"""Make sure that no training outlives the process that started it, and that it ends in order.

Ray restarts a lost task elsewhere. It can end the old task's child processes only with SIGKILL
(RAY_process_group_cleanup_enabled), which leaves MLflow's run open, and it does not end them at all
if its process on that machine, the raylet, is lost. So a guard process runs between worker and
training, in its own session. It reads from a pipe whose other end the worker holds, and ends the
training when that end is closed, however the worker died.

This file is run by its path and imports nothing from the project, so that it starts fast.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.2  # between checks of the training
SUBREAPER = 36  # Linux' prctl option: orphaned descendants become children of this process
PARENT = os.getppid()  # of a Ray worker: the raylet; once it is gone, Ray runs the task elsewhere
GRACE = 30.0  # seconds between SIGTERM (the training closes its MLflow run) and SIGKILL
LAST = 5.0  # seconds after SIGKILL


class ParentLostError(BaseException):
    """Ray has restarted this work elsewhere; not an Exception, so that nothing here retries it."""


@contextmanager
def guarded(
    command: list[str], folder: Path, environment: dict[str, str], output: IO | int
) -> Iterator[subprocess.Popen]:
    """Run a command under a guard, which ends it when this process or the block ends.

    Args:
        output: an open file for the command's output, or subprocess.PIPE.
    """
    with subprocess.Popen(
        [sys.executable, __file__, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches the sweep only
    ) as guard:
        try:
            yield guard
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            while guard.poll() is None:
                with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                    guard.wait(POLL_SECONDS)


def run_fenced(command: list[str], folder: Path, environment: dict[str, str], log: IO) -> int:
    """Run a command and return its exit code; it is ended when this process or this call ends.

    Args:
        log: an open file for the command's output.

    Raises:
        ParentLostError: this process's parent is gone.
    """
    # Ray cancels a task by raising KeyboardInterrupt in it repeatedly, without a signal. That does
    # not interrupt a system call like wait(), so poll.
    with guarded(command, folder, environment, log) as guard:
        while guard.poll() is None:
            if os.getppid() != PARENT:
                raise ParentLostError("the process that started this one is gone")
            time.sleep(POLL_SECONDS)
    return guard.returncode


def guard(command: list[str]) -> int:
    """Run a command until it ends or standard input closes; then end all that it started."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        pass
    end_group(process)
    return process.returncode


def end_group(process: subprocess.Popen) -> None:
    """End what is left of a process group: with SIGTERM, and after a while with SIGKILL."""
    for chosen, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, LAST)):
        deadline = time.monotonic() + patience
        with suppress(ProcessLookupError):
            os.killpg(process.pid, chosen)
        while process.poll() is None or _exists(process.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return


def _exists(group: int) -> bool:
    """Whether a group whose first process has ended still has processes; reap those that ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def main() -> None:
    """Guard in a child process in its own session, and pass on its exit code."""
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        os.setsid()
        # The first process of a container may not reap orphans; a group of zombies would then seem
        # alive. Systems other than Linux have no prctl.
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        code = guard(sys.argv[1:])
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
