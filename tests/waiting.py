"""Wait for something to happen in another process."""

import time


def wait_for(condition, seconds=300, every=0.02):
    """Return what a condition returns once it is true; look `every` so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(every)
    return answer
