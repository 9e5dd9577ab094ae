"""One MLflow run per (network, variant, seed), never left RUNNING."""

import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import Terminated, UserError
from pipeline.tracking.context import context_tags, is_alive, process_tags
from pipeline.tracking.store import (
    EXPERIMENT,
    REQUEST_ERRORS,
    first_line,
    open_store,
    store_problem,
    store_uri,
    warn,
)

LOCK_FILE = "requirements.lock"


class TrackedRun:
    """An open MLflow run.

    A store that goes away while the run is open never stops a training: the epochs that could not
    be sent are sent with the next one or at the end.
    """

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self._client = client
        self._sent_steps = {
            m.step for m in client.get_metric_history(run.info.run_id, "train_loss")
        }
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id

    def log_history(self, rows: Sequence[dict[str, float]]) -> bool:
        """Send the epochs that the store does not have yet; return whether it has all now."""
        missing = [row for row in rows if int(row["epoch"]) not in self._sent_steps]
        now = int(time.time() * 1000)
        for row in missing:
            step = int(row["epoch"])
            metrics = [Metric(k, v, now, step) for k, v in row.items() if k != "epoch"]
            try:
                self._client.log_batch(self.run_id, metrics=metrics)
            except REQUEST_ERRORS as error:
                warn(f"MLflow does not answer ({first_line(error)}); epochs will be sent later")
                return False
            self._sent_steps.add(step)
        return True

    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Log single values."""
        now = int(time.time() * 1000)
        self._client.log_batch(
            self.run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()]
        )

    def log_params(self, params: dict[str, Any]) -> None:
        """Log parameters; those that the run already has stay as they are."""
        present = self._client.get_run(self.run_id).data.params
        new = [Param(k, str(v)) for k, v in params.items() if k not in present]
        for start in range(0, len(new), 100):  # MLflow's limit of a batch
            self._client.log_batch(self.run_id, params=new[start : start + 100])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_figure(self, figure: Any, name: str) -> None:
        """Save a matplotlib figure into the run's artifacts."""
        self._client.log_figure(self.run_id, figure, name)

    def log_dataset(self, source: str, digest: str, records: np.ndarray) -> None:
        """Name the training data, identified by the digest of the prepared records."""
        dataset = mlflow.data.from_numpy(
            features=records["image"][:1],
            targets=records["label"][:1],
            source=CodeDatasetSource({"source": source}),
            name=source,
            digest=digest[:16],
        )
        mlflow.log_input(dataset, context="training", tags={"sha256": digest})

    def log_model(self, model: Any) -> str:
        """Log an exported Keras model (uint8 images in, probabilities out); return its URI."""
        shape = (-1, *model.input_shape[1:])
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.uint8), shape, "image")]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *model.output_shape[1:]))]),
        )
        info = mlflow.keras.log_model(
            model,
            name="model",
            signature=signature,
            pip_requirements=LOCK_FILE if Path(LOCK_FILE).exists() else None,
        )
        return info.model_uri

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set tags."""
        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])


@contextmanager
def tracked_run(name: str, tags: dict[str, str], run_id: str | None = None) -> Iterator[TrackedRun]:
    """Open a run, or the run with `run_id` again, and close it with the right status.

    It ends FINISHED, or FAILED with the exception as tag `end_reason`, or KILLED on Ctrl-C and
    SIGTERM. After kill -9 the next start closes it.

    Raises:
        UserError: the store cannot be used.
    """
    client = open_store()
    close_dead_runs(client)
    previous_handler = signal.signal(signal.SIGTERM, _raise_terminated)
    tags = {**tags, **context_tags(), **process_tags()}
    try:
        active = mlflow.start_run(
            run_id=run_id if run_exists(client, run_id) else None,
            run_name=name,
            tags=tags,
            log_system_metrics=True,
        )
        yield TrackedRun(client, active)
    except (MlflowException, SQLAlchemyError) as error:
        _end_run(client, *_end_status(error))
        raise UserError(store_problem(store_uri(), error)) from None
    except BaseException as error:
        _end_run(client, *_end_status(error))
        raise
    else:
        _end_run(client, "FINISHED", None)
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


def attach_files(run_ids: Sequence[str], paths: Sequence[Path], folder: str) -> None:
    """Copy files and folders into the artifacts of runs that have ended, where the store has them.

    A store that does not take them costs a warning only.
    """
    client = open_store()
    for run_id in run_ids:
        if not run_exists(client, run_id):
            warn(f"MLflow has no run {run_id}; `python -m pipeline doctor` makes a new one")
            continue
        try:
            for path in paths:
                if path.is_dir():
                    client.log_artifacts(run_id, str(path), f"{folder}/{path.name}")
                else:
                    client.log_artifact(run_id, str(path), folder)
        except REQUEST_ERRORS as error:
            warn(f"MLflow did not take {folder} for run {run_id} ({first_line(error)})")


def run_exists(client: MlflowClient, run_id: str | None) -> bool:
    """Whether the store has this run and it is not deleted."""
    if run_id is None:
        return False
    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException:
        return False


def _end_status(error: BaseException) -> tuple[str, str]:
    if isinstance(error, Terminated):
        return "KILLED", "SIGTERM"
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "interrupted (Ctrl-C)"
    return "FAILED", f"{type(error).__name__}: {error}"[:5000]


def _end_run(client: MlflowClient, status: str, reason: str | None) -> None:
    active = mlflow.active_run()
    if active is None:
        return
    try:
        if reason:
            client.set_tag(active.info.run_id, "end_reason", reason)
        mlflow.end_run(status)
    except REQUEST_ERRORS as error:
        warn(
            f"MLflow does not answer ({first_line(error)}); run {active.info.run_id} stays open "
            "there until `python -m pipeline doctor` closes it"
        )


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def close_dead_runs(client: MlflowClient) -> list[str]:
    """Close as KILLED the runs that a dead process of this machine left RUNNING."""
    running = find_runs(
        f"attributes.status = 'RUNNING' and tags.`process.host` = '{socket.gethostname()}'"
    )
    dead = [run.info.run_id for run in running if not is_alive(run.data.tags)]
    for run_id in dead:
        client.set_tag(run_id, "end_reason", "its process died (kill -9, power or memory)")
        client.set_terminated(run_id, "KILLED")
    return dead


def find_runs(filter_string: str = "") -> list[Run]:
    """Return the runs of this project's experiment in the open store, the newest first."""
    return mlflow.search_runs(
        experiment_names=[EXPERIMENT], filter_string=filter_string, output_format="list"
    )
