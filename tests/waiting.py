"""Wait for something that happens in another process."""

import time


def wait_for(condition, seconds=300):
    """Return what a condition returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
    return answer
