"""Which of how many trainings is running, and about how long all of them will still take."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

PAUSE = 60.0  # seconds between two lines, at least


class Progress:
    """Tells while a training runs how far the whole run is.

    Args:
        number, total: of this training among all, counted from 1.
        network, epochs: of this training; as many epochs at most.
        waiting: network and epochs of each training that is still to come.
        seconds: what an epoch took so far, of the networks that were timed.
        clock: seconds that go on while the machine works.
    """

    def __init__(
        self,
        number: int,
        total: int,
        network: str,
        epochs: int,
        waiting: Sequence[tuple[str, int]],
        seconds: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = f"training {number} of {total}"
        self._network = network
        self._epochs = epochs
        self._waiting = waiting
        self._seconds = seconds
        self._clock = clock
        self._ends: list[float] = []  # of the epochs here
        self._said = float("-inf")

    def after_epoch(self, epoch: int) -> str | None:
        """Return a line of where the run is, or None while the last one is still fresh.

        Args:
            epoch: the one that has ended, counted from 1.
        """
        now = self._clock()
        self._ends.append(now)
        # From the second epoch on: the first one includes all that is made ready.
        if len(self._ends) < 2 or epoch >= self._epochs or now - self._said < PAUSE:
            return None
        self._said = now
        return f"{self.place}, {self._time_left(epoch)}"

    def _time_left(self, epoch: int) -> str:
        own = statistics.median(b - a for a, b in itertools.pairwise(self._ends))
        seconds = {**self._seconds, self._network: own}
        known = [seconds[network] * n for network, n in self._waiting if network in seconds]
        left = duration(own * (self._epochs - epoch) + sum(known))
        untimed = len(self._waiting) - len(known)
        more = f" and {untimed} more, of a network not timed yet" if untimed else ""
        return f"about {left} left{more}"


def duration(seconds: float) -> str:
    """Say a duration as people do: 40 s, 12 min, 3.5 h.

    >>> [duration(value) for value in (4.4, 89, 90, 5_400, 12_600)]
    ['4 s', '89 s', '2 min', '90 min', '3.5 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds <= 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
