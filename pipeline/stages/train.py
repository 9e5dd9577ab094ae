"""Stage `train`: train one network with one seed, tracked in MLflow, resumed where it was cut off.

Leaves the best and the last weights, the history of the epochs and the facts of the run.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pipeline.core.declarations import Recipe
from pipeline.core.errors import UserError
from pipeline.core.files import PREPARED, read_json, work_folder, write_json
from pipeline.core.params import PARAMS_FILE, Params, Watch
from pipeline.core.progress import Progress
from pipeline.core.records import Prepared, Split
from pipeline.core.trials import (
    Facts,
    HistoryRow,
    Trial,
    load_history,
    save_facts,
    save_history,
)
from pipeline.networks.shared.models import (
    copy_network,
    count_flops,
    load_network,
    trainable_parameters,
)
from pipeline.tracking.context import context_tags, source_name, trial_tags
from pipeline.tracking.descriptions import describe_data, describe_recipe, report_link
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import LOCK_FILE, TrackedRun
from pipeline.tracking.views import NOTE
from pipeline.training import checkpoint, loop
from pipeline.training.compiling import new_model
from pipeline.training.machine import (
    configure_backend,
    describe_machine,
    one_device,
    resolve_precision,
)
from pipeline.training.schedules import of_variant

PACKAGE = Path(__file__).parents[1]
# The files and folders whose code decides the outcome, with the network's own file: a checkpoint of
# other code is not resumed. All are dependencies of the stage in dvc.yaml too.
CODE = ("core/arithmetic.py", "core/records.py", "networks/shared", "training")

WATCHED: dict[Watch, Split | None] = {"validation": "val", "test": "test", "none": None}


@dataclass(frozen=True)
class Training:
    """What is trained: the trial, the params and the prepared data."""

    params: Params
    trial: Trial
    prepared: Prepared

    @classmethod
    def of(cls, params: Params, trial: Trial) -> "Training":
        """Describe a training on the prepared data of this folder."""
        return cls(params, trial, Prepared(PREPARED, trial.seed))

    @property
    def recipe(self) -> Recipe:
        """The network's section of params.yaml, with the DropBlock of its variant."""
        return of_variant(self.params.network(self.trial.network), self.trial.variant)

    @property
    def name(self) -> str:
        """Name the run for people, like `resnet block=7 seed=0`."""
        dropped = f"block={self.recipe.drop_block_size}"
        if self.trial.variant == "unitdrop":
            dropped = "single units"  # tells it from a network whose own recipe is the same
        elif not self.recipe.drops:
            dropped = "without DropBlock"
        skipless = "" if getattr(self.recipe, "skip_connections", True) else "without skips "
        return f"{self.trial.display_name} {skipless}{dropped} seed={self.trial.seed}"

    @property
    def digest(self) -> str:
        """SHA-256 of the prepared data."""
        return self.prepared.digest

    @property
    def watched(self) -> Split | None:
        """The split that is scored after each epoch, and chooses the epoch to keep; or none."""
        return WATCHED[self.params.train.watch]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the params that decide the outcome, by section; the precision as it came out."""
        train = self.params.train.model_dump(exclude={"networks", "seeds", "variants"})
        return {
            "": self.recipe.model_dump(),
            "augment": self.params.augment.model_dump(),
            "train": {**train, "precision": resolve_precision(self.params.train.precision)},
            "data": self.prepared.metadata["params"],
        }

    def is_done(self) -> bool:
        """Whether this folder has the training's outputs, of just these params, data and code."""
        try:
            return read_json(self.trial.facts_file, "training_key")["training_key"] == self.key()
        except UserError:
            return False

    def key(self) -> str:
        """Hash all that decides the outcome: params, seed, data, code, versions."""
        settings = {
            **self.settings(),
            "training": [*self.trial, self.digest],
            "versions": versions(),
        }
        code = (*CODE, f"networks/{self.trial.network}.py")
        return checkpoint.training_key(settings, [PACKAGE / path for path in code])


def train(training: Training) -> None:
    """Train, or go on where a training of the same key was cut off, and write the outputs.

    Raises:
        UserError: a batch larger than the training set, too little memory, a loss that is not
            finite, the same training in another process, or an MLflow store that cannot be used.
    """
    loop.check_batch_size(training.trial.network, training.recipe, len(training.prepared["train"]))
    with (
        checkpoint.training_folder(work_folder(), training.key()) as folder,
        one_device(work_folder()),
        open_run(training, folder) as run,
        explain_lack_of_memory(training),
    ):
        model, rows = start_or_resume(training, folder)
        loop.check_image_size(training.trial.network, training.recipe, model)
        facts = collect_facts(training, model, run, folder)
        progress = place_among_all(training)
        size = f"{facts['parameters']:,} parameters, {facts['flops'] / 1e6:,.1f} MFLOP an image"
        print(f"{progress.place}: {training.name}, {size}, MLflow run {run.run_id}", flush=True)
        run.log_params({name: facts[name] for name in ("parameters", "flops")})
        run.set_tags({NOTE: describe_training(training, facts["parameters"], run)})
        run.log_history(rows)
        run_epochs(training, model, rows, folder, run, progress)
        write_outputs(training, folder, rows, facts)
    # The checkpoint stays until `evaluate`, before which DVC has recorded these outputs: a kill in
    # between costs nothing.


def place_among_all(training: Training) -> Progress:
    """Count the trainings of params.yaml that are done, by their keys, and those to come."""
    params, trial = training.params, training.trial
    others = [Training(params, t, training.prepared) for t in params.trials if t != trial]
    waiting = [other for other in others if not other.is_done()]
    return Progress(
        number=len(others) - len(waiting) + 1,
        total=len(others) + 1,
        network=trial.network,
        epochs=training.recipe.epochs,
        waiting=[(other.trial.network, other.recipe.epochs) for other in waiting],
        seconds=seconds_per_epoch(params.trials),
    )


def seconds_per_epoch(trials: list[Trial]) -> dict[str, float]:
    """Return what an epoch took of each network that has a history here, of whatever recipe."""
    found = {}
    for trial in trials:
        with suppress(UserError):
            found[trial.network] = load_history(trial, None)["seconds"].median()
    return found


@contextmanager
def open_run(training: Training, folder: Path) -> Iterator[TrackedRun]:
    """Open the MLflow run of a training, the one of its checkpoint where there is one."""
    note = folder / "open_run.json"
    resumed = None
    with suppress(UserError):  # none yet, or cut off while it was written: a new run then
        resumed = read_json(note, "run_id")["run_id"]
    tags = {
        **trial_tags(training.trial),
        "training.key": folder.name,
        "mlflow.source.name": source_name(training.trial),
    }
    with tracked_run(training.name, tags, resumed) as run:
        write_json(note, {"run_id": run.run_id})
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


def log_settings(training: Training, run: TrackedRun) -> None:
    """Log every parameter, the data set and the environment."""
    for section, values in training.settings().items():
        prefix = f"{section}." if section else ""
        run.log_params({prefix + key: value for key, value in values.items()})
    run.log_params({**trial_tags(training.trial), **versions()})
    source = training.prepared.metadata["params"]["source"]
    for split in ("train", "val"):
        if len(records := training.prepared[split]):
            run.log_dataset(source, split, training.digest, records)
    for file in (Path(LOCK_FILE), PARAMS_FILE):
        if file.exists():
            run.log_artifact(file)


def start_or_resume(training: Training, folder: Path) -> tuple[keras.Model, list[HistoryRow]]:
    """Build a new model, or load the newest checkpoint with its history."""
    configure_backend(training.params.train, training.trial.seed)
    saved = checkpoint.load_checkpoint(folder)
    if saved:
        path, rows = saved
        print(f"going on after epoch {len(rows)}, from {path}", flush=True)
        return load_network(path / "last.keras", compiled=True), rows
    params, classes = training.params.train, len(training.prepared.class_names)
    return new_model(training.trial.network, training.recipe, params, classes), []


def run_epochs(
    training: Training,
    model: keras.Model,
    rows: list[HistoryRow],
    folder: Path,
    run: TrackedRun,
    progress: Progress,
) -> None:
    """Train to the end; after each epoch save a checkpoint, then tell MLflow and the console."""
    watched, watching = training.watched, sys.stdout.isatty()

    def after_epoch(model: keras.Model, rows: list[HistoryRow]) -> None:
        try:
            checkpoint.save_checkpoint(folder, model, rows, best=loop.is_best(rows, watched))
        except OSError as error:
            raise UserError(
                f"{folder}: the checkpoint of epoch {len(rows)} cannot be saved ({error}); free "
                f"some space, then `dvc repro` goes on after epoch {len(rows) - 1}"
            ) from None
        run.log_history(rows)
        if line := progress.after_epoch(len(rows)):
            print(f"\n{line}" if watching else line, flush=True)  # below Keras' bar

    trainer = loop.Trainer(
        training.prepared,
        training.recipe,
        training.params.augment,
        training.trial.seed,
        training.params.train.reshuffle,
        watched,
    )
    trainer.fit(model, rows, after_epoch, verbose=1 if watching else 2)


def describe_training(training: Training, parameters: int, run: TrackedRun) -> str:
    """Describe the training for its page in MLflow, with a link to the report to come."""
    data = describe_data(training.prepared.metadata)
    recipe = describe_recipe(data, training.recipe, parameters)
    return f"{recipe}\n\n{report_link(run.experiment_id, run.run_id)}"


def collect_facts(training: Training, model: keras.Model, run: TrackedRun, folder: Path) -> Facts:
    """Collect the facts that evaluation and report need beside the history."""
    context = context_tags()
    return {
        "run_id": run.run_id,
        "name": training.name,
        "training_key": folder.name,
        **training.trial._asdict(),
        "digest": training.digest,
        "watched": training.watched,
        "parameters": trainable_parameters(model),
        "flops": count_flops(model),
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
        "machine": describe_machine(),
        "precision": resolve_precision(training.params.train.precision),
        "git_commit": context["git.commit"],
        "git_dirty": context["git.dirty"],
        "git_changes": context.get("git.changes", ""),
        **versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def write_outputs(training: Training, folder: Path, rows: list[HistoryRow], facts: Facts) -> None:
    """Write history, facts and weights to where DVC takes them up."""
    save_history(training.trial, rows)
    save_facts(training.trial, {**facts, "pflop": rows[-1]["pflop"]})
    newest = checkpoint.newest_checkpoint(folder)
    models = training.trial.models_folder
    models.mkdir(parents=True, exist_ok=True)
    for name in checkpoint.WEIGHTS:
        copy_network(newest / name, models / name)
