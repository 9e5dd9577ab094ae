"""How many CPU cores there are for this process."""

import os


def usable_cores() -> int:
    """Return how many this process may use: a container, `taskset` or Slurm may allow fewer."""
    on_linux = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if on_linux else os.cpu_count() or 1
