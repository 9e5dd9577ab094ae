"""Stage `train`: train one network with one seed, tracked in MLflow; resume if interrupted.

Writes the best and the last weights, the history of the epochs and the facts of the training.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import tensorflow as tf

from pipeline.core.errors import UserError, and_more, warn
from pipeline.core.files import PREPARED, hash_file, work_folder
from pipeline.core.records import SPLIT_NAMES, Prepared, Split
from pipeline.core.sections import Recipe, Watch
from pipeline.core.words import duration
from pipeline.networks.shared.models import (
    copy_network,
    count_flops,
    load_network,
    trainable_parameters,
    uncounted,
    unsettled,
)
from pipeline.settings.identity import identity, versions
from pipeline.settings.names import training_name
from pipeline.settings.params import Params, check_batch_size
from pipeline.settings.trainings import Facts, HistoryRow, Training, save_facts, save_history
from pipeline.tracking.context import context_tags
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import TrackedRun
from pipeline.tracking.trainings import log_settings, start_tags
from pipeline.training import checkpoint, loop
from pipeline.training.compiling import new_model
from pipeline.training.epochs import is_best
from pipeline.training.machine import (
    configure_backend,
    describe_machine,
    explain_lack_of_memory,
    one_device,
    precision_of,
)

WATCHED: dict[Watch, Split | None] = {"validation": "val", "test": "test", "none": None}


@dataclass(frozen=True)
class Setup:
    """What to train, and on what."""

    params: Params
    training: Training
    prepared: Prepared

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return self.params.recipe(self.training.network, self.training.variant)

    @property
    def batch(self) -> tuple[str, int]:
        """The key of the batch size, and its value."""
        return f"{self.training.network}.batch_size", self.recipe.batch_size

    @property
    def name(self) -> str:
        """The run's display name, like `resnet, quick, drop_block_size=7, seed 0`."""
        return training_name(self.params, self.training)

    @property
    def watched(self) -> Split | None:
        """The split that is scored after each epoch, or None."""
        return WATCHED[self.params.train.watch]

    @property
    def identity(self) -> str:
        """The hash that identifies this training (see settings/identity.py)."""
        return identity(self.params, self.training, self.prepared.digest)


def train(params: Params, training: Training) -> str:
    """Train, or resume the same training if it was interrupted, and write the outputs.

    Returns:
        What was trained, in words.

    Raises:
        UserError: the batch is larger than the training set, memory runs out, the loss is not
            finite, another process runs the same training, or MLflow's store cannot be used.
    """
    setup = Setup(params, training, Prepared(PREPARED, training.seed))
    check_batch_size(training.network, setup.recipe, len(setup.prepared["train"]))
    with (
        checkpoint.training_folder(work_folder(), setup.identity) as folder,
        one_device(),
        explain_lack_of_memory(*setup.batch),
    ):
        model, rows = start_or_resume(setup, folder)
        loop.check_image_size(training.network, setup.recipe, model)
        facts = collect_facts(setup, model)
        tags = start_tags(params, training, setup.identity)
        with tracked_run(setup.name, tags, rows) as run, explain_lack_of_memory(*setup.batch):
            size = f"{facts['parameters']:,} parameters, {facts['flops'] / 1e6:,.1f} MFLOP an image"
            print(f"{setup.name}: {size}, MLflow run {run.run_id}", flush=True)
            if facts["uncounted"]:
                names = ", ".join(facts["uncounted"])
                warn(f"PFLOP does not count these layers: {names}")
            if facts["unsettled"]:
                norms = and_more(facts["unsettled"], " layers")
                warn(f"too few steps for the moving averages of {norms}; lower their momentum")
            log_settings(run, params, training, setup.prepared, facts)
            run.log_history(rows)
            run_epochs(setup, model, rows, folder, run)
            write_outputs(setup, folder, rows, facts)
            run.log_end(hash_file(training.history_file))
    # The checkpoint stays until `evaluate`, which starts after DVC has recorded these outputs; so
    # nothing is lost if this process is killed before that.
    return f"{setup.name}: trained {len(rows)} of {setup.recipe.epochs} epochs"


def start_or_resume(setup: Setup, folder: Path) -> tuple[keras.Model, list[HistoryRow]]:
    """Build a new model, or load the newest checkpoint with its history."""
    configure_backend(setup.params.train, setup.training.seed)
    saved = checkpoint.load_checkpoint(folder)
    if saved:
        path, rows = saved
        print(f"resuming after epoch {len(rows)}, from {path}", flush=True)
        model = load_network(path / "last.keras", compiled=True)
        # Where the training began, train.precision: auto may have meant another one.
        keras.config.set_dtype_policy(precision_of(model))
        return model, rows
    train, prepared = setup.params.train, setup.prepared
    classes, size, images = len(prepared.class_names), prepared.image_size, prepared["train"]
    return new_model(setup.training.network, setup.recipe, train, classes, size, images), []


def run_epochs(
    setup: Setup, model: keras.Model, rows: list[HistoryRow], folder: Path, run: TrackedRun
) -> None:
    """Train to the end; after each epoch save a checkpoint, then log to MLflow and the console."""
    watched, begun = setup.watched, len(rows)

    def after_epoch(model: keras.Model, rows: list[HistoryRow]) -> None:
        try:
            checkpoint.save_checkpoint(folder, model, rows, best=is_best(rows, watched))
        except OSError as error:
            raise UserError(
                f"{folder}: the checkpoint of epoch {len(rows)} cannot be saved ({error}); free "
                f"some space, then `dvc repro` resumes after epoch {len(rows) - 1}"
            ) from None
        run.log_history(rows)
        print(describe_epoch(rows, begun, trainer.sizes, watched), flush=True)

    trainer = loop.Trainer(
        setup.prepared,
        setup.recipe,
        setup.params.augment,
        setup.training.seed,
        setup.params.train.reshuffle,
        watched,
    )
    trainer.fit(model, rows, after_epoch, verbose=1 if sys.stdout.isatty() else 0)


def describe_epoch(
    rows: list[HistoryRow], begun: int, sizes: Sequence[int], watched: Split | None
) -> str:
    """Describe the last epoch, and estimate the time left: it grows with the images' pixels.

    Args:
        begun: the number of epochs done before this process started.
        sizes: the image size of each epoch, of as many as there are at most.
    """
    row = rows[-1]
    said = f"epoch {len(rows)} of {len(sizes)}: training {_scores(row, 'train')}"
    if watched:
        said += f"; {SPLIT_NAMES[watched]} {_scores(row, watched)}"
    # Leave out this process's first epoch, which includes tracing and set-up.
    timed = rows[begun + 1 :] or [row]
    pace = statistics.median(r["seconds"] / r["image_size"] ** 2 for r in timed)
    left = pace * sum(size**2 for size in sizes[len(rows) :])
    return f"{said}; {duration(row['seconds'])}, about {duration(left)} left"


def _scores(row: HistoryRow, split: str) -> str:
    return f"accuracy {100 * row[f'{split}_accuracy']:.1f} %, loss {row[f'{split}_loss']:.3f}"


def collect_facts(setup: Setup, model: keras.Model) -> Facts:
    """Collect the facts that evaluation and report need besides the history."""
    context = context_tags()
    steps = setup.recipe.epochs * (len(setup.prepared["train"]) // setup.recipe.batch_size)
    return {
        "name": setup.name,
        "training": setup.identity,
        **setup.training._asdict(),
        "digest": setup.prepared.digest,
        "watched": setup.watched,
        "parameters": trainable_parameters(model),
        "flops": count_flops(model),
        "uncounted": uncounted(model),
        "unsettled": unsettled(model, steps),
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
        "machine": describe_machine(),
        "precision": precision_of(model),
        "git_commit": context["git.commit"],
        "git_dirty": context["git.dirty"],
        "git_changes": context.get("git.changes", ""),
        **versions(),
    }


def write_outputs(setup: Setup, folder: Path, rows: list[HistoryRow], facts: Facts) -> None:
    """Write history, facts and weights to the outputs that dvc.yaml declares."""
    training, newest = setup.training, checkpoint.newest_checkpoint(folder)
    # Not the time now: if the outputs are written again, they stay the same.
    ended = datetime.fromtimestamp(newest.stat().st_mtime, UTC).isoformat(timespec="seconds")
    save_history(training, rows)
    save_facts(training, {**facts, "pflop": rows[-1]["pflop"], "ended": ended})
    training.models_folder.mkdir(parents=True, exist_ok=True)
    for name in checkpoint.WEIGHTS:
        file = training.models_folder / name
        load_network(newest / name).save(file)  # without the optimizer, up to two thirds of it
        copy_network(file, file.with_name("copy"))
        file.with_name("copy").replace(file)
