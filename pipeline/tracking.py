"""MLflow: one store for all forms of run, one run per (network, seed), never left RUNNING.

The only module that imports mlflow.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import numpy as np
import psutil

from pipeline.errors import Terminated, UserError
from pipeline.params import DISPLAY_NAMES, Trial
from pipeline.paths import project_root, work_folder

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that went away must not hold up training: the metrics are sent again later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "5")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

logging.getLogger("mlflow").setLevel(logging.WARNING)

EXPERIMENT = "dropblock-comparison"
LOCK_FILE = "requirements.lock"
REQUEST_ERRORS = (MlflowException, SQLAlchemyError, CommandError, OSError)


def store_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or mlflow.db of the main repository.

    A relative sqlite path is taken from the main repository too.

    Raises:
        UserError: the URI names a folder of files, a kind of store that MLflow has given up.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{project_root() / uri.removeprefix('sqlite:///')}"
    if "://" not in uri or uri.startswith("file:"):
        raise UserError(
            f"MLFLOW_TRACKING_URI = {uri} is a folder of files, which MLflow 3 no longer writes; "
            "unset it, or convert the folder with `mlflow migrate-filestore`"
        )
    return uri


def open_store() -> MlflowClient:
    """Connect to the store; create its database and experiment where they don't exist yet.

    Two first runs at once would both try to create the tables, hence the lock.

    Raises:
        UserError: the store cannot be reached or has another version's tables.
    """
    uri = store_uri()
    mlflow.set_tracking_uri(uri)
    try:
        with filelock.FileLock(work_folder() / "store.lock"):
            client = MlflowClient(uri)  # makes the tables
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                client.create_experiment(
                    EXPERIMENT,
                    artifact_location=_artifact_location(uri),
                    tags={"mlflow.experimentKind": "custom_model_development"},  # the UI's mode
                )
        mlflow.set_experiment(EXPERIMENT)
    except REQUEST_ERRORS as error:
        raise UserError(_store_problem(uri, error)) from None
    return client


def _artifact_location(uri: str) -> str | None:
    """Keep artifacts beside a local database; a server decides for itself."""
    return (project_root() / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None


def _store_problem(uri: str, error: BaseException) -> str:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    if "schema" in str(error):
        way_out = f"back it up and run `mlflow db upgrade {without_password(uri)}`"
    elif uri.startswith("sqlite:"):
        way_out = "check that the folder can be written, or move the damaged file away"
    else:
        way_out = "start the server, or correct or unset MLFLOW_TRACKING_URI"
    return f"MLflow's store {without_password(uri)} cannot be used ({first_line}); {way_out}"


def without_password(uri: str) -> str:
    """Mask user and password of a URI."""
    scheme, separator, rest = uri.partition("://")
    host = rest.rpartition("@")[2] if "@" in rest.split("/")[0] else rest
    return uri if host == rest else f"{scheme}{separator}***@{host}"


class TrackedRun:
    """An open MLflow run.

    A store that goes away while the run is open never stops the work: what could not be sent is
    sent with the next epoch or at the end.
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
                _warn(f"MLflow does not answer ({_first_line(error)}); epochs will be sent later")
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
    tags = {**tags, **context_tags(), **_process_tags()}
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
        raise UserError(_store_problem(store_uri(), error)) from None
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
            _warn(f"MLflow has no run {run_id}; `python -m pipeline.doctor` makes a new one")
            continue
        try:
            for path in paths:
                if path.is_dir():
                    client.log_artifacts(run_id, str(path), f"{folder}/{path.name}")
                else:
                    client.log_artifact(run_id, str(path), folder)
        except REQUEST_ERRORS as error:
            _warn(f"MLflow did not take {folder} for run {run_id} ({_first_line(error)})")


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
        _warn(
            f"MLflow does not answer ({_first_line(error)}); run {active.info.run_id} stays open "
            "there until `python -m pipeline.doctor` closes it"
        )


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def close_dead_runs(client: MlflowClient) -> list[str]:
    """Close as KILLED the runs that a dead process of this machine left RUNNING."""
    running = find_runs(
        f"attributes.status = 'RUNNING' and tags.`process.host` = '{socket.gethostname()}'"
    )
    dead = [run.info.run_id for run in running if not _is_alive(run.data.tags)]
    for run_id in dead:
        client.set_tag(run_id, "end_reason", "its process died (kill -9, power or memory)")
        client.set_terminated(run_id, "KILLED")
    return dead


class Registry:
    """Registered models of one data set; the best has the alias champion, the other challenger."""

    def __init__(self, source: str, digest: str) -> None:
        self.name = f"{source}-{digest[:8]}"
        self._client = open_store()

    def find(self, alias: str) -> ModelVersion | None:
        """Return the version with an alias, or None."""
        try:
            return self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException:
            return None

    def get(self, alias: str) -> ModelVersion:
        """Return the version with an alias.

        Raises:
            UserError: nothing has this alias.
        """
        version = self.find(alias)
        if version is None:
            raise UserError(
                f"MLflow's registry has no {alias} of {self.name} (the prepared data); run "
                "`dvc repro`, or `python -m pipeline.doctor` if the store was deleted"
            )
        return version

    def uri(self, alias: str) -> str:
        """Return the URI of an alias; errors as in get."""
        return f"models:/{self.get(alias).name}@{alias}"

    def register(self, model_uri: str, alias: str, tags: dict[str, str]) -> str:
        """Register a logged model under an alias and return its version.

        Raises:
            UserError: the store does not have the model.
        """
        try:
            version = mlflow.register_model(model_uri, self.name, tags=tags).version
        except REQUEST_ERRORS as error:
            raise UserError(
                f"{model_uri} cannot be registered ({_first_line(error)}); "
                "`python -m pipeline.doctor` makes a new run where the store was deleted"
            ) from None
        self._client.set_registered_model_alias(self.name, alias, str(version))
        return str(version)


def load_model(uri: str) -> Any:
    """Load a Keras model that was logged, in Keras' safe mode."""
    return mlflow.keras.load_model(uri, load_model_kwargs={"safe_mode": True})


def find_runs(filter_string: str = "") -> list[Run]:
    """Return the runs of this project's experiment in the open store, the newest first."""
    return mlflow.search_runs(
        experiment_names=[EXPERIMENT], filter_string=filter_string, output_format="list"
    )


def trial_tags(trial: Trial) -> dict[str, str]:
    """Return what tells a run from the others of its experiment."""
    return {
        "network": DISPLAY_NAMES[trial.network],
        "variant": trial.variant,
        "seed": str(trial.seed),
    }


def _process_tags() -> dict[str, str]:
    """Name this process so that another one can tell whether it still lives."""
    process = psutil.Process()
    return {
        "process.host": socket.gethostname(),
        "process.pid": str(process.pid),
        "process.started": f"{process.create_time():.2f}",
        "end_reason": "",
    }


def _is_alive(tags: dict[str, str]) -> bool:
    try:
        process = psutil.Process(int(tags["process.pid"]))
        same = abs(process.create_time() - float(tags["process.started"])) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return False


def context_tags() -> dict[str, str]:
    """Say which DVC experiment, stage and git commit this process works for."""
    commit = _git("rev-parse", "HEAD")
    dirty = _git("status", "--porcelain", "--untracked-files=no")
    name = os.environ.get("DVC_EXP_NAME", "")
    return {
        "dvc.experiment": name or f"workspace-{commit[:7] or 'no-git'}",
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", "") or commit,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "git.commit": commit,
        "git.dirty": str(bool(dirty)).lower(),
    }


def _git(*arguments: str) -> str:
    with suppress(OSError):
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return result.stdout.strip()
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)
