"""What a sweep says: its plan, each epoch, each end with the time left, and what failed."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing

from tqdm import tqdm

from pipeline.core.words import duration
from pipeline.sweep.estimate import Estimate
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.pool import Ended


def describe_plan(tasks: Sequence[Task], estimates: Sequence[Estimate]) -> str:
    """List the trainings that are to run, with what each takes, and their sum."""
    lines = [
        f"  {task.title}: {_described(each) if each.pflop else 'cannot be estimated'}"
        for task, each in zip(tasks, estimates, strict=True)
    ]
    seconds = [each.seconds for each in estimates]
    known = None if None in seconds else sum(filter(None, seconds))
    total = Estimate(sum(each.pflop for each in estimates), known)
    together = _described(total).replace("about", "one after the other about")
    return "\n".join([*lines, f"  together {together}"])


def _described(estimate: Estimate) -> str:
    pflop = f"{estimate.pflop:.3g} PFLOP"
    return pflop if estimate.seconds is None else f"{pflop}, about {duration(estimate.seconds)}"


class SweepProgress:
    """A bar over trainings, with the time left by the work that is left.

    Args:
        estimates: by the key of the result.
        slots: how many run at once.
    """

    def __init__(self, estimates: dict[str, Estimate], slots: int) -> None:
        self._waiting, self._slots = dict(estimates), slots
        self._total, self._estimated, self._taken = len(estimates), 0.0, 0.0
        # Where no speed is known, compute stands for time until one has ended.
        self._timed = all(estimate.seconds is not None for estimate in estimates.values())
        self._bar = tqdm(
            total=self._total,
            disable=not sys.stderr.isatty(),
            bar_format="{n}/{total} trainings |{bar}| {elapsed}{postfix}",
        )

    def follow(self, ended: Generator[Ended, None, None]) -> dict[str, Record]:
        """Say how each training ended; return the records of those that ended well."""
        good = {}
        with closing(ended), closing(self._bar):
            for task, outcome in ended:
                if isinstance(outcome, Record):
                    good[task.result] = outcome
                    self.advance(task.result, task.title, outcome.seconds)
                else:
                    self.advance(task.result, f"{task.title} failed:\n{outcome}\n")
        return good

    def left(self) -> str:
        """Say how long the trainings that are not done will take."""
        weights = [self._weight(estimate) for estimate in self._waiting.values()]
        left = max([sum(weights) / self._slots, *weights], default=0.0)
        if self._estimated:  # the estimates may be of another pace
            left *= self._taken / self._estimated
        elif not self._timed:
            return "how long shows when one has ended"
        return f"about {duration(left)} left"

    def _weight(self, estimate: Estimate) -> float:
        return estimate.seconds if self._timed and estimate.seconds else estimate.pflop

    def advance(self, key: str, said: str, seconds: float | None = None) -> None:
        """Note the end of a training.

        Args:
            seconds: what it took; None of one that failed, which tells no pace.
        """
        estimate = self._waiting.pop(key)
        if seconds is not None:
            self._estimated += self._weight(estimate)
            self._taken += seconds
        left = self.left() if self._waiting else "all done"
        self.say(f"[{self._total - len(self._waiting)}/{self._total}] {said}, {left}")
        self._bar.set_postfix_str(left)
        self._bar.update()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        tqdm.write(line)
        sys.stdout.flush()
