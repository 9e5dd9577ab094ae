"""Wait for something to happen in another process; find a worker of Ray."""

import time

import psutil


def wait_for(condition, seconds=300, every=0.02):
    """Return what a condition returns once it is true; look `every` so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(every)
    return answer


def worker_of(pid):
    """Return the Ray worker below which a process runs in the folder of a training: its guard."""
    folder = psutil.Process(pid).cwd()
    for process in psutil.process_iter():
        try:
            if "ray::train" in process.name() + "".join(process.cmdline()[:1]) and any(
                child.cwd() == folder for child in process.children(recursive=True)
            ):
                return process
        except psutil.Error:
            continue
    raise AssertionError("no worker")
