"""What a sweep says: its plan, its progress with the time left, and what failed."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing

from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.words import duration
from pipeline.sweep.estimate import Estimate
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Training
from pipeline.sweep.pool import Outcome
from pipeline.sweep.task import Place
from pipeline.tracking.lifecycle import end_other_runs
from pipeline.tracking.store import REQUEST_ERRORS, warn


def describe_plan(trainings: Sequence[Training], estimates: Sequence[Estimate]) -> str:
    """List the trainings that are to run, with what each takes."""
    lines = [
        f"  {title_of(training)}: {_described(estimate)}"
        for training, estimate in zip(trainings, estimates, strict=True)
    ]
    pflop = sum(estimate.pflop for estimate in estimates)
    seconds = [estimate.seconds for estimate in estimates if estimate.seconds is not None]
    together = f"  together {pflop:.3g} PFLOP"
    if len(seconds) == len(estimates):
        together += f", one after the other about {duration(sum(seconds))}"
    return "\n".join([*lines, together])


def _described(estimate: Estimate) -> str:
    if not estimate.pflop:
        return "cannot be estimated"
    pflop = f"{estimate.pflop:.3g} PFLOP"
    return pflop if estimate.seconds is None else f"{pflop}, about {duration(estimate.seconds)}"


def title_of(training: Training) -> str:
    """Name a training and the first experiment that asks for it."""
    return f"{training.trial.title} of {training.evaluations[0].experiment}"


def follow(
    outcomes: Generator[tuple[Training, Outcome], None, None],
    place: Place,
    estimates: dict[str, Estimate],
    slots: int,
) -> list[tuple[Training, list[Record]]]:
    """Say how each training ended; only the MLflow run whose result counts stays FINISHED.

    Args:
        place: where the trainings run.
        estimates: by the training's key.
        slots: how many run at once.

    Returns:
        The trainings that ended well, with their records.
    """
    progress, good = SweepProgress(estimates, slots), []
    open_runs: list[tuple[str, str]] = []
    each = "a GPU each" if place.gpu else "on processors"
    print(f"{slots} at a time, {each}, {progress.left()}", flush=True)
    with closing(outcomes), closing(progress):
        for training, outcome in outcomes:
            if isinstance(outcome, Exception):
                progress.advance(training.key, f"{title_of(training)} failed:\n{outcome}\n")
                continue
            good.append((training, outcome))
            open_runs = _end_runs([*open_runs, (place.mark(training), outcome[0].run_id)])
            progress.advance(training.key, title_of(training), outcome[0].seconds)
    if _end_runs(open_runs):
        warn("MLflow does not answer: runs whose result does not count may stay FINISHED there")
    return good


def _end_runs(asked: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """End the runs whose result does not count; return what is to be asked again later.

    Args:
        asked: the mark of each training and the run that counts.
    """
    for i, (mark, counted) in enumerate(asked):
        try:
            end_other_runs(mark, counted)
        except (UserError, *REQUEST_ERRORS):
            return asked[i:]
    return []


class SweepProgress:
    """A bar over trainings, with the time left by the work that is left."""

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
        tqdm.write(f"[{self._total - len(self._waiting)}/{self._total}] {said}, {left}")
        sys.stdout.flush()
        self._bar.set_postfix_str(left)
        self._bar.update()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
