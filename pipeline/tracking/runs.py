"""What a training's MLflow run contains: metrics, params, files, data sets, the model.

Everything is written by run id, so that an ended run can be completed without reopening it. What
the run already has is not written again, so that an interrupted command can be repeated.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModel, Metric, Param, Run, RunTag
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from pipeline.core.errors import first_line, warn
from pipeline.core.records import SPLIT_NAMES, Images
from pipeline.tracking.store import EXPERIMENT, REQUEST_ERRORS, add_row, find_runs
from pipeline.tracking.views import NOTE

LOCK_FILE = "requirements.lock"
TRAINING = "training"  # tag: the training's identity
HISTORY = "history"  # tag: SHA-256 of the training's history, once it has ended well
LOSS = "train_loss"  # metric: every epoch has it
REPORT = "report"  # tag: hash of the report, set once all else is published; the artifact folder
SCORES = "scores"  # tag: hash of the evaluation, set once the run has all of it
CONTEXT = "mlflow.data.context"  # tag of a data set: what it was used for
# Columns of the history that measure the machine's speed; the UI lists them as system metrics.
SYSTEM = {name: f"system/{name}" for name in ("seconds", "images_per_second", "peak_memory_mb")}
DIGITS = 4  # of metrics, significant; the UI shows all it gets, and the files keep the exact values
NO_STEP = -1  # MLflow copies a run's metrics at this step to a logged model; here there are none


def find_training_runs(identity: str, variant: str) -> list[Run]:
    """Return a training's runs in the open store, newest first.

    Two variants that come to the same training, as for a network without DropBlock, have the same
    identity, but each has a run of its own.
    """
    return find_runs(f"tags.`{TRAINING}` = '{identity}' AND tags.variant = '{variant}'")


def key_of(run: Run) -> tuple[str | None, str | None]:
    """Return a run's identity and variant."""
    return run.data.tags.get(TRAINING), run.data.tags.get("variant")


def without_files(client: MlflowClient) -> list[str]:
    """Return the complete runs and models of a local store whose files are gone, in words."""
    complete = [run for run in find_runs() if SCORES in run.data.tags]
    places = {f"run {run.info.run_id}": (run.info.artifact_uri, "") for run in complete}
    experiment = client.get_experiment_by_name(EXPERIMENT)
    for model in mlflow.search_logged_models([experiment.experiment_id], output_format="list"):
        if model.status == "READY":
            places[f"model {model.model_id}"] = (model.artifact_location, "MLmodel")
    return [
        name
        for name, (uri, file) in places.items()
        if is_local_uri(uri) and not Path(local_file_uri_to_path(uri), file).exists()
    ]


class TrackedRun:
    """An MLflow run.

    If the store fails during a training, the training goes on; epochs that could not be sent are
    sent with the next one, or at the end.
    """

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self._client = client
        self._times: dict[int, int] = {}  # of each epoch's rows
        self._sent_steps = {m.step for m in client.get_metric_history(run.info.run_id, LOSS)}
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id

    def log_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Send the epochs that the store does not have yet, or leave them for later."""
        try:
            self.send_history(rows)
        except REQUEST_ERRORS as error:
            warn(f"MLflow does not answer ({first_line(error)}); epochs will be sent later")

    def send_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Send the epochs that the store does not have yet."""
        missing = [row for row in rows if int(row["epoch"]) not in self._sent_steps]
        for row in missing:
            step = int(row["epoch"])
            values = {SYSTEM.get(k, k): v for k, v in row.items() if k != "epoch"}
            # MLflow stores a row twice if it is sent again with another time.
            time = self._times.setdefault(step, _now())
            metrics = [Metric(k, rounded(v), time, step) for k, v in sorted(values.items())]
            self._client.log_batch(self.run_id, metrics=metrics)
            self._sent_steps.add(step)

    def log_end(self, history: str) -> None:
        """Tag the run with the hash of the training's history, by which `publish` finds the run."""
        try:
            self.set_tags({HISTORY: history})
        except REQUEST_ERRORS as error:
            warn(f"MLflow does not answer ({first_line(error)}); `publish` will recreate the run")

    def log_scores(self, scores: dict[str, float]) -> None:
        """Log values that the run does not have yet or has with another value."""
        present = self._client.get_run(self.run_id).data.metrics
        new = {k: rounded(v) for k, v in scores.items() if present.get(k) != rounded(v)}
        metrics = [Metric(k, v, _now(), 0) for k, v in sorted(new.items())]
        self._client.log_batch(self.run_id, metrics=metrics)

    def log_params(self, params: dict[str, Any]) -> None:
        """Log parameters; parameters that the run already has are kept."""
        present = self._client.get_run(self.run_id).data.params
        new = [Param(k, str(v)) for k, v in params.items() if k not in present]
        self._client.log_batch(self.run_id, params=new)

    def log_files(self, paths: Sequence[Path], folder: str | None = None) -> None:
        """Copy files and folders into the run's artifacts."""
        for path in paths:
            if path.is_dir():
                inside = f"{folder}/{path.name}" if folder else path.name
                self._client.log_artifacts(self.run_id, str(path), inside)
            else:
                self._client.log_artifact(self.run_id, str(path), folder)

    def log_table(self, table: pd.DataFrame, name: str) -> None:
        """Save a table as CSV in the run's artifacts; the UI shows it as a table."""
        self._client.log_text(self.run_id, table.to_csv(index=False), name)

    def log_figure(self, figure: Any, name: str) -> None:
        """Save a matplotlib figure into the run's artifacts."""
        self._client.log_figure(self.run_id, figure, name)

    def log_dataset(self, source: str, split: str, digest: str, images: Images) -> None:
        """Record the split that this run used, identified by the data's digest.

        Args:
            split: train, val or test.
            images: the split's; their number and shape are recorded, no pixels are read.
        """
        used = mlflow.data.from_numpy(
            features=np.broadcast_to(np.uint8(0), images.shape),
            targets=images["label"],
            source=CodeDatasetSource({"source": source}),
            name=dataset_name(source, split),
            digest=dataset_digest(digest),
        )
        tags = [InputTag(CONTEXT, SPLIT_NAMES[split]), InputTag("sha256", digest)]
        inputs = [DatasetInput(Dataset(**used.to_dict()), tags)]
        add_row(lambda: self._client.log_inputs(self.run_id, inputs))

    def find_model(self) -> LoggedModel | None:
        """Return the model that log_model logged; delete models that a kill left incomplete."""
        found = self._client.search_logged_models(
            [self.experiment_id], filter_string=f"source_run_id = '{self.run_id}'"
        )
        whole = [m for m in found if m.status == "READY" and TRAINING in m.tags]
        for model in found:
            if model not in whole[:1]:
                self._client.delete_logged_model(model.model_id)
        return whole[0] if whole else None

    def log_model(self, model: Any, name: str, identity: str) -> LoggedModel:
        """Log an exported Keras model (uint8 images in, probabilities out)."""
        shape = (-1, *model.input_shape[1:])
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.uint8), shape, "image")]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *model.output_shape[1:]))]),
        )
        info = Model.log(
            artifact_path=None,
            flavor=mlflow.keras,
            run_id=self.run_id,
            model=model,
            name=re.sub(r"""[/:.%"']""", "-", name),  # characters that MLflow does not allow here
            signature=signature,
            pip_requirements=LOCK_FILE if Path(LOCK_FILE).exists() else None,
            step=NO_STEP,
        )
        tags = self.tags()
        kept = {k: tags[k] for k in ("mlflow.source.name", NOTE) if k in tags}
        self._client.set_logged_model_tags(info.model_id, {**kept, TRAINING: identity})
        return self._client.get_logged_model(info.model_id)

    def link_scores(self, model: LoggedModel, source: str, digest: str, epoch: int) -> None:
        """Link this run's scores to the model, so that its page shows them with their data set.

        Args:
            source, digest: the data's, as in log_dataset.
            epoch: the epoch whose weights the model has.
        """
        there = {(m.key, m.step, m.value) for m in model.metrics or []}
        metrics = []
        for key in self._client.get_run(self.run_id).data.metrics:
            split, step = _split_and_step(key, epoch)
            points = self._client.get_metric_history(self.run_id, key) if split else []
            metrics += [
                Metric(
                    key, m.value, m.timestamp, m.step,
                    model_id=model.model_id, run_id=self.run_id,
                    dataset_name=dataset_name(source, split), dataset_digest=dataset_digest(digest),
                )
                for m in points if m.step == step and (key, m.step, m.value) not in there
            ]  # fmt: skip
        self._client.log_batch(self.run_id, metrics=metrics)

    def tags(self) -> dict[str, str]:
        """Return the run's present tags."""
        return self._client.get_run(self.run_id).data.tags

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set tags."""
        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])


def rounded(value: float) -> float:
    """Round a metric as it is shown in MLflow.

    >>> rounded(0.96666666)
    0.9667
    """
    return float(f"{value:.{DIGITS}g}")


def _now() -> int:
    return int(time.time() * 1000)


def dataset_name(source: str, split: str) -> str:
    """Name a split of the data in MLflow, like `digits train`."""
    return f"{source} {SPLIT_NAMES[split]}"


def dataset_digest(digest: str) -> str:
    """Shorten a digest to what MLflow allows."""
    return digest[:16]


def _split_and_step(key: str, epoch: int) -> tuple[str, int]:
    """Return the split that a metric scores, and the step of the kept weights' value."""
    for start, split, step in (("test_", "test", 0), ("val_", "val", epoch),
                               ("clean_train_", "train", epoch)):  # fmt: skip
        if key.startswith(start):
            return split, step
    return "", 0
