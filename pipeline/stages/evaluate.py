"""Stage `evaluate`: score the best and the last weights of one training.

Reads the test set once (never if evaluate.test is false). Writes metrics and the predictions of
the best weights.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from pipeline.core.files import PREPARED, hash_file, work_folder
from pipeline.core.records import SPLIT_NAMES, SPLITS, Images, Prepared, Split
from pipeline.core.sections import EvaluateParams
from pipeline.data.duplicates import mark_duplicates
from pipeline.evaluation import outputs
from pipeline.evaluation.masks import measure_drop_blocks
from pipeline.evaluation.scores import has_unequal_classes, score
from pipeline.networks.shared.models import load_network
from pipeline.settings.params import Params
from pipeline.settings.trainings import Facts, Training, load_facts, load_history
from pipeline.training.batches import make_eval_dataset
from pipeline.training.checkpoint import discard_checkpoints
from pipeline.training.loop import best_row
from pipeline.training.machine import one_device

WEIGHTS = ("best", "last")


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate, and how.

    Attributes:
        facts, history: written by stage `train`.
        settings: section `evaluate` of params.yaml.
    """

    training: Training
    facts: Facts
    history: pd.DataFrame
    prepared: Prepared
    settings: EvaluateParams

    @property
    def scored(self) -> Split:
        """The split whose predictions are kept and compared."""
        return "test" if self.settings.test else "val"

    @property
    def splits(self) -> list[Split]:
        """The splits that have images; without test if evaluate.test is false."""
        return [s for s in SPLITS if len(self.prepared[s]) and (s != "test" or self.settings.test)]


@dataclass(frozen=True)
class Outcome:
    """The result of an evaluation.

    Attributes:
        metrics: what the report says about the training besides its scores.
        scores: the scores by weights and split.
        log_probabilities: (n, classes), of the scored split's images, by the best weights.
        masks: a mask per DropBlock layer.
    """

    metrics: dict[str, Any]
    scores: dict[str, dict[Split, outputs.Scores]]
    log_probabilities: np.ndarray
    masks: dict[str, np.ndarray]


def evaluate(params: Params, training: Training) -> str:
    """Score a training, write the files of evaluation/outputs.py, and return its score as text.

    Raises:
        UserError: the training's files are missing, damaged, or belong to other prepared data.
    """
    prepared = Prepared(PREPARED, training.seed)
    facts = load_facts(training, prepared.digest)
    history = load_history(training, facts["watched"])
    asked = Evaluation(training, facts, history, prepared, params.evaluate)
    with one_device(work_folder()):
        models = {w: load_network(training.models_folder / f"{w}.keras") for w in WEIGHTS}
        outcome = score_weights(asked, models)
        save(asked, outcome)
    discard_checkpoints(work_folder(), facts["training"])
    best, name = outcome.scores["best"][asked.scored], SPLIT_NAMES[asked.scored]
    return f"{facts['name']}: {name} accuracy {best['accuracy']:.4f}, loss {best['loss']:.4f}"


def score_weights(asked: Evaluation, models: dict[str, keras.Model]) -> Outcome:
    """Score the best and the last weights, and measure how much DropBlock drops."""
    predictions = {"last": predict_splits(models["last"], asked)}
    files = (asked.training.models_folder / f"{weights}.keras" for weights in WEIGHTS)
    same = len({hash_file(file) for file in files}) == 1
    predictions["best"] = predictions["last"] if same else predict_splits(models["best"], asked)
    keep = asked.history["keep_prob"].iloc[-1]
    drop_blocks, masks = measure_drop_blocks(models["last"], keep)
    facts = summarise(asked.history, asked.facts)
    return Outcome(
        {**facts, "drop_blocks": drop_blocks, "scored": asked.scored},
        {weights: score_splits(found, asked) for weights, found in predictions.items()},
        predictions["best"].plain[asked.scored],
        masks,
    )


def save(asked: Evaluation, outcome: Outcome) -> None:
    """Write the outcome to the outputs that dvc.yaml declares."""
    images = describe_images(asked.prepared, asked.scored)
    outputs.save_metrics(asked.training, outcome.metrics, outcome.scores)
    outputs.save_predictions(asked.training, outcome.log_probabilities, images)
    outputs.save_masks(asked.training, outcome.masks)


@dataclass(frozen=True)
class Predictions:
    """The (n, classes) float32 log-probabilities for each scored split.

    Attributes:
        plain: for the images as they are.
        flipped: for their mirror images, training split excepted; empty without evaluate.flip.
    """

    plain: dict[Split, np.ndarray]
    flipped: dict[Split, np.ndarray]


def predict_splits(model: keras.Model, asked: Evaluation) -> Predictions:
    """Predict each split that has images and may be read."""
    prepared, size = asked.prepared, asked.settings.batch_size
    flipped = [split for split in asked.splits if split != "train"] if asked.settings.flip else []
    return Predictions(
        {split: _predict(model, prepared[split], size) for split in asked.splits},
        {split: _predict(model, prepared[split], size, mirrored=True) for split in flipped},
    )


def _predict(
    model: keras.Model, images: Images, batch_size: int, mirrored: bool = False
) -> np.ndarray:
    dataset = make_eval_dataset(images, batch_size, mirrored=mirrored)
    logits = model.predict(dataset, verbose=0)
    return log_softmax(logits.astype(np.float64), axis=1).astype(np.float32)


def score_splits(predictions: Predictions, asked: Evaluation) -> dict[Split, outputs.Scores]:
    """Score the predictions of each split.

    `flip_accuracy` uses the mean of the probabilities of an image and its mirror image.
    """
    prepared = asked.prepared
    superclass_of, top_k = np.array(prepared.metadata["superclass_of"]), asked.settings.top_k
    balanced = has_unequal_classes(prepared["train"]["label"])
    scores = {
        split: score(values, prepared[split]["label"], superclass_of, top_k, balanced)
        for split, values in predictions.plain.items()
    }
    for split, mirrored in predictions.flipped.items():
        both = np.logaddexp(predictions.plain[split], mirrored)
        hits = both.argmax(axis=1) == prepared[split]["label"]
        scores[split]["flip_accuracy"] = float(hits.mean())
    return scores


def summarise(history: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Collect what the report says about a training besides its scores."""
    kept = best_row(history.to_dict("records"), facts["watched"])
    return {
        **facts,
        "epochs": len(history),
        "best_epoch": int(kept["epoch"]),
        "seconds_per_epoch": float(history["seconds"].median()),
        "images_per_second": float(history["images_per_second"].median()),
        "training_seconds": float(history["seconds"].sum()),
        "peak_memory_mb": float(history["peak_memory_mb"].max()),
    }


def describe_images(prepared: Prepared, split: Split) -> outputs.EvaluationSet:
    """Return the labels and duplicates of the scored images."""
    scored, others = prepared[split], SPLITS[: SPLITS.index(split)]
    known = np.concatenate([prepared[other]["group"] for other in others])
    of_training, _ = mark_duplicates(scored["group"], known)
    return outputs.EvaluationSet(
        scored["label"], scored["superclass"], scored["group"], of_training
    )
