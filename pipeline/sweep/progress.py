"""A sweep's output: its plan, each epoch, each finished or failed training, the time left."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing

from tqdm import tqdm

from pipeline.core.words import duration
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.pool import Ended


def describe_plan(tasks: Sequence[Task], pflop: dict[str, float]) -> str:
    """List the trainings to run, with the compute of each."""
    lines = [
        f"  {task.title}: {f'{value:.3g} PFLOP' if value else 'cannot be estimated'}"
        for task, value in ((task, pflop.get(task.result)) for task in tasks)
    ]
    return "\n".join([*lines, f"  in total: {sum(pflop.values()):.3g} PFLOP"])


class SweepProgress:
    """A progress bar over trainings; the time left is estimated from the compute left.

    Args:
        pflop: the compute of each training, by the key of the result.
        slots: how many trainings run at once.
    """

    def __init__(self, pflop: dict[str, float], slots: int) -> None:
        self._waiting, self._slots, self._total = dict(pflop), slots, len(pflop)
        self._computed = self._seconds = 0.0
        self._bar = tqdm(
            total=self._total,
            disable=not sys.stderr.isatty(),
            bar_format="{n}/{total} trainings |{bar}| {elapsed}{postfix}",
        )

    def follow(self, ended: Generator[Ended, None, None]) -> dict[str, Record]:
        """Print how each training ended; return the records of those that succeeded."""
        good = {}
        with closing(ended), closing(self._bar):
            for task, outcome in ended:
                pflop, said = self._waiting.pop(task.result), task.title
                if isinstance(outcome, Record):
                    good[task.result] = outcome
                    self._computed += pflop
                    self._seconds += outcome.seconds
                else:
                    said += f" failed:\n{outcome}\n"
                done = f"[{self._total - len(self._waiting)}/{self._total}]"
                self.say(f"{done} {said}, {self.left()}")
                self._bar.update()
        return good

    def left(self) -> str:
        """Estimate the time left from the speed of the finished trainings."""
        if not self._waiting:
            return "all done"
        if not self._computed:
            return "time left: unknown until a training has ended"
        left = max(sum(self._waiting.values()) / self._slots, *self._waiting.values(), 0.0)
        return f"about {duration(left * self._seconds / self._computed)} left"

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        tqdm.write(line)
        sys.stdout.flush()
