"""Open, reopen and close the MLflow run of a training, so that none is left RUNNING."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import mlflow
from mlflow import MlflowClient

from pipeline.core.errors import Terminated, first_line, warn
from pipeline.core.repeat import run_periodically
from pipeline.core.secrets import masked
from pipeline.settings.trainings import HistoryRow
from pipeline.tracking import context
from pipeline.tracking.context import context_tags, is_dead, process_tags
from pipeline.tracking.runs import LOSS, TRAINING, TrackedRun, find_training_runs, rounded
from pipeline.tracking.store import (
    REQUEST_ERRORS,
    find_runs,
    open_store,
    store_errors,
)
from pipeline.tracking.views import save_view

END_REASON = "end_reason"  # tag: why a run ended before its training was complete


@contextmanager
def tracked_run(
    name: str, tags: dict[str, str], rows: Sequence[HistoryRow] = ()
) -> Iterator[TrackedRun]:
    """Open a run, and close it with the right status.

    The run ends as FINISHED; as FAILED, with the exception in tag `end_reason`; or as KILLED after
    Ctrl-C or SIGTERM. After kill -9, the next training closes it.

    Args:
        tags: the run's tags, including the training's identity.
        rows: the epochs of the checkpoint from which the training resumes. If the store has the
            run of these epochs, that run is reopened.

    Raises:
        UserError: the store cannot be used.
    """
    with store_errors():
        client = open_store()
        close_dead_runs(client)
        save_view(client)
        previous_handler = signal.signal(signal.SIGTERM, _raise_terminated)
        try:
            with _open_run(client, name, tags, rows) as run:
                yield run
        except BaseException as error:
            _end_run(client, *_end_status(error))
            raise
        else:
            _end_run(client, "FINISHED", None)
        finally:
            signal.signal(signal.SIGTERM, previous_handler)


@contextmanager
def _open_run(
    client: MlflowClient, name: str, tags: dict[str, str], rows: Sequence[HistoryRow]
) -> Iterator[TrackedRun]:
    """Start or reopen a run, and renew its heartbeat, by which other machines know it is alive."""
    before = _run_of(client, tags, rows) if rows else None
    tags = {k: v for k, v in {**tags, **context_tags(), **process_tags()}.items() if v}
    os.environ.pop("MLFLOW_RUN_ID", None)  # MLflow would write all trainings into that run
    active = mlflow.start_run(
        run_id=before,
        run_name=name,
        tags=tags,
        log_system_metrics=True,
    )
    if END_REASON in active.data.tags:  # from before it was reopened
        client.delete_tag(active.info.run_id, END_REASON)

    def beat() -> None:
        client.set_tag(active.info.run_id, context.HEARTBEAT, context.now())

    with run_periodically(beat, context.BEAT):
        yield TrackedRun(client, active)


def _run_of(client: MlflowClient, tags: dict[str, str], rows: Sequence[HistoryRow]) -> str | None:
    """Return the ended run that shares the most epochs with the checkpoint and contradicts none."""
    losses = {int(row["epoch"]): rounded(row[LOSS]) for row in rows}
    shared = {}
    for run in find_training_runs(tags[TRAINING], tags["variant"]):
        points = client.get_metric_history(run.info.run_id, LOSS)
        same = all(losses.get(point.step, point.value) == point.value for point in points)
        if run.info.status != "RUNNING" and same:
            shared[run.info.run_id] = min(len(points), len(rows))
    return max(shared, key=lambda run_id: shared[run_id], default=None)  # at a tie the newest


def _end_status(error: BaseException) -> tuple[str, str]:
    if isinstance(error, Terminated):
        return "KILLED", "SIGTERM"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "interrupted (Ctrl-C)"
    return "FAILED", masked(f"{type(error).__name__}: {error}")


def _end_run(client: MlflowClient, status: str, reason: str | None) -> None:
    active = mlflow.active_run()
    if active is None:
        return
    try:
        try:
            if reason:
                client.set_tag(active.info.run_id, END_REASON, reason)
        finally:  # or MLflow ends it when Python exits, as FINISHED
            mlflow.end_run(status)
    except REQUEST_ERRORS as error:
        warn(
            f"MLflow does not answer ({first_line(error)}); run {active.info.run_id} stays RUNNING "
            "until `python -m pipeline doctor` closes it"
        )


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def close_dead_runs(client: MlflowClient) -> list[str]:
    """Close as KILLED the runs that a dead process or a lost machine left RUNNING."""
    dead = [
        run.info.run_id
        for run in find_runs("attributes.status = 'RUNNING'")
        if is_dead(run.data.tags)
    ]
    for run_id in dead:
        end_as_killed(client, run_id, "its process died (kill -9, power cut or out of memory)")
    return dead


def end_as_killed(client: MlflowClient, run_id: str, reason: str) -> None:
    """End a run as KILLED, with a reason, because its result does not count."""
    client.set_tag(run_id, END_REASON, reason)
    client.set_terminated(run_id, "KILLED")
