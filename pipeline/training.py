"""One tracked, resumable training: what stage `train` does."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import tensorflow as tf

from pipeline import checkpoint, fit, tracking
from pipeline.errors import UserError
from pipeline.machine import describe_machine
from pipeline.models import count_flops, load_network, trainable_parameters
from pipeline.params import DISPLAY_NAMES, PARAMS_FILE, NetworkParams, Params, Trial
from pipeline.paths import PREPARED, history_file, models_folder, run_file, work_folder
from pipeline.prepared import Prepared

# The modules whose code decides the outcome: a checkpoint of other code is not resumed.
CODE = ("augment", "batch_norm", "dropblock", "fit", "models", "prepared", "records", "schedules")


@dataclass(frozen=True)
class Training:
    """What is trained: the trial, the params and the prepared data."""

    params: Params
    trial: Trial
    prepared: Prepared

    @classmethod
    def of(cls, params: Params, trial: Trial) -> "Training":
        """Describe a training on the prepared data of this folder."""
        return cls(params, trial, Prepared(PREPARED))

    @property
    def recipe(self) -> NetworkParams:
        """The network's section of params.yaml, without DropBlock in its ablation."""
        return self.params.recipe(self.trial)

    @property
    def name(self) -> str:
        """Name the run for people, like `resnet block=7 seed=0`."""
        dropped = f"block={self.recipe.drop_block_size}"
        variant = dropped if self.trial.variant == "dropblock" else "without DropBlock"
        return f"{DISPLAY_NAMES[self.trial.network]} {variant} seed={self.trial.seed}"

    @property
    def digest(self) -> str:
        """SHA-256 of the prepared data."""
        return self.prepared.metadata["digest"]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the params that decide the outcome, by section."""
        return {
            "": self.recipe.model_dump(),
            "augment": self.params.augment.model_dump(),
            "train": self.params.train.model_dump(exclude={"seeds", "variants"}),
            "data": self.prepared.metadata["params"],
        }

    def key(self) -> str:
        """Hash all that decides the outcome: params, seed, data, code, versions."""
        settings = {
            **self.settings(),
            "training": [*self.trial, self.digest],
            "versions": versions(),
        }
        return checkpoint.training_key(
            settings, [Path(__file__).with_name(f"{m}.py") for m in CODE]
        )


def train(training: Training) -> None:
    """Train, or go on where a training of the same key was cut off, and write the outputs.

    Raises:
        UserError: a batch larger than the training set, too little memory, a loss that is not
            finite, the same training in another process, or an MLflow store that cannot be used.
    """
    fit.check_batch_size(training.trial.network, training.recipe, len(training.prepared["train"]))
    with checkpoint.training_folder(work_folder(), training.key()) as folder:
        with open_run(training, folder) as run, explain_lack_of_memory(training):
            model, rows = start_or_resume(training, folder)
            facts = describe(training, model, run)
            size = f"{facts['parameters']:,} parameters, {facts['flops'] / 1e6:,.1f} MFLOP an image"
            print(f"{training.name}: {size}, MLflow run {run.run_id}", flush=True)
            run.log_metrics({f"size/{name}": facts[name] for name in ("parameters", "flops")})
            run.log_history(rows)
            run_epochs(training, model, rows, folder, run)
            write_outputs(training, folder, rows, facts)
        shutil.rmtree(folder)


@contextmanager
def open_run(training: Training, folder: Path) -> Iterator[tracking.TrackedRun]:
    """Open the MLflow run of a training, the one of its checkpoint where there is one."""
    note = folder / "run.json"
    resumed = json.loads(note.read_text())["run_id"] if note.exists() else None
    tags = {**tracking.trial_tags(training.trial), "training.key": training.key()}
    with tracking.tracked_run(training.name, tags, resumed) as run:
        note.write_text(json.dumps({"run_id": run.run_id}))
        log_settings(training, run)
        yield run


@contextmanager
def explain_lack_of_memory(training: Training) -> Iterator[None]:
    """Turn an allocation that failed, of numbers or of a device, into a UserError."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        network, recipe = training.trial.network, training.recipe
        raise UserError(
            f"out of memory with {network}.batch_size = {recipe.batch_size} and {network}.width = "
            f"{recipe.width}; use smaller ones, or train.precision: mixed_float16 on a GPU"
        ) from None


def log_settings(training: Training, run: tracking.TrackedRun) -> None:
    """Log every parameter, the data set and the environment."""
    for section, values in training.settings().items():
        prefix = f"{section}." if section else ""
        run.log_params({prefix + key: value for key, value in values.items()})
    run.log_params({**tracking.trial_tags(training.trial), **versions()})
    source = training.prepared.metadata["params"]["source"]
    run.log_dataset(source, training.digest, training.prepared["train"])
    for file in (Path(tracking.LOCK_FILE), PARAMS_FILE):
        if file.exists():
            run.log_artifact(file)


def start_or_resume(training: Training, folder: Path) -> tuple[keras.Model, list[fit.HistoryRow]]:
    """Build a new model, or load the newest checkpoint with its history."""
    fit.configure_backend(training.params.train, training.trial.seed)
    saved = checkpoint.load_checkpoint(folder)
    with fit.distribution_strategy().scope():
        if saved:
            path, rows = saved
            print(f"going on after epoch {len(rows)}, from {path}", flush=True)
            return load_network(path / "last.keras"), rows
        classes = len(training.prepared.class_names)
        params = training.params
        return fit.new_model(training.recipe, params.train, classes), []


def run_epochs(
    training: Training,
    model: keras.Model,
    rows: list[fit.HistoryRow],
    folder: Path,
    run: tracking.TrackedRun,
) -> None:
    """Train to the end; after each epoch save a checkpoint, then tell MLflow."""
    watched = training.prepared.watched

    def after_epoch(model: keras.Model, rows: list[fit.HistoryRow]) -> None:
        try:
            checkpoint.save_checkpoint(folder, model, rows, best=fit.is_best(rows, watched))
        except OSError as error:
            raise UserError(
                f"{folder}: the checkpoint of epoch {len(rows)} cannot be saved ({error}); free "
                f"some space, then `dvc repro` goes on after epoch {len(rows) - 1}"
            ) from None
        run.log_history(rows)

    fit.fit(
        model,
        training.prepared,
        training.recipe,
        training.params.augment,
        training.trial.seed,
        training.params.evaluate.batch_size,
        rows,
        after_epoch,
        verbose=1 if sys.stdout.isatty() else 2,
    )


def describe(training: Training, model: keras.Model, run: tracking.TrackedRun) -> dict[str, Any]:
    """Collect the facts that evaluation and report need beside the history."""
    context = tracking.context_tags()
    return {
        "run_id": run.run_id,
        "name": training.name,
        **training.trial._asdict(),
        "digest": training.digest,
        "watched": training.prepared.watched,
        "parameters": trainable_parameters(model),
        "flops": count_flops(model),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "machine": describe_machine(),
        "precision": training.params.train.precision,
        "git_commit": context["git.commit"],
        "git_dirty": context["git.dirty"],
        **versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def write_outputs(
    training: Training, folder: Path, rows: list[fit.HistoryRow], facts: dict[str, Any]
) -> None:
    """Write history, facts and weights to where DVC takes them up."""
    history = history_file(training.trial)
    history.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).astype({"epoch": int}).to_csv(history, index=False)
    run = run_file(training.trial)
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_text(json.dumps(facts, indent=1) + "\n")
    newest = checkpoint.newest_checkpoint(folder)
    models = models_folder(training.trial)
    models.mkdir(parents=True, exist_ok=True)
    for name in checkpoint.WEIGHTS:
        shutil.copyfile(newest / name, models / name)
