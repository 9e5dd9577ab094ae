"""Stage `evaluate`: score the best and the last weights of one training.

Reads the test set once (never if evaluate.test is false). Writes metrics and the predictions of
the best weights.
"""

import os
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import log_softmax

from pipeline.core.files import PREPARED, hash_file, work_folder
from pipeline.core.records import SPLIT_NAMES, SPLITS, Prepared, Split
from pipeline.core.sections import EvaluateParams
from pipeline.evaluation import outputs
from pipeline.evaluation.masks import measure_drop_blocks
from pipeline.evaluation.scores import has_unequal_classes, score
from pipeline.networks.shared.models import load_network
from pipeline.settings.params import Params
from pipeline.settings.trainings import Facts, Training, load_facts, load_history
from pipeline.training.batches import make_eval_dataset
from pipeline.training.checkpoint import discard_checkpoints
from pipeline.training.epochs import best_row
from pipeline.training.loop import scored_at_once
from pipeline.training.machine import explain_lack_of_memory, one_device

# The (n, classes) float32 log-probabilities of each split, as it is and (True) mirrored.
Predictions = dict[tuple[Split, bool], np.ndarray]


def evaluate(params: Params, training: Training) -> str:
    """Score a training, write the files of evaluation/outputs.py, and return its score as text.

    Raises:
        UserError: the training's files are missing, damaged, or belong to other prepared data.
    """
    prepared = Prepared(PREPARED, training.seed)
    batch = scored_at_once(prepared.image_size, params.evaluate.batch_size)
    settings = params.evaluate.model_copy(update={"batch_size": batch})
    facts = load_facts(training, prepared.digest)
    history = load_history(training, facts["watched"])
    scored: Split = "test" if settings.test else "val"
    files = [training.models_folder / f"{weights}.keras" for weights in ("best", "last")]
    with one_device(), explain_lack_of_memory("evaluate.batch_size", batch):
        best, last = (load_network(file) for file in files)
        predictions = {"last": predict_splits(last, prepared, settings)}
        same = len({hash_file(file) for file in files}) == 1
        predictions["best"] = (
            predictions["last"] if same else predict_splits(best, prepared, settings)
        )
        drop_blocks, masks = measure_drop_blocks(last, history["keep_prob"].iloc[-1])
    scores = {
        weights: score_splits(found, prepared, settings) for weights, found in predictions.items()
    }
    metrics = {**summarise(history, facts), "drop_blocks": drop_blocks, "scored": scored}
    images = describe_images(prepared, scored)
    outputs.save_metrics(training, metrics, scores)
    outputs.save_predictions(training, predictions["best"][scored, False], images)
    outputs.save_masks(training, masks)
    if "DVC_STAGE" in os.environ:  # then DVC has recorded the training; else it would train again
        discard_checkpoints(work_folder(), facts["training"])
    kept = scores["best"][scored]
    said = f"accuracy {100 * kept['accuracy']:.2f} %, loss {kept['loss']:.3f}"
    return f"{facts['name']}: {SPLIT_NAMES[scored]} {said}"


def predict_splits(model: keras.Model, prepared: Prepared, settings: EvaluateParams) -> Predictions:
    """Predict each split that has images and may be read.

    With evaluate.flip also the mirror images, except those of the training split.
    """
    splits = [s for s in SPLITS if len(prepared[s]) and (s != "test" or settings.test)]
    wanted = [(split, False) for split in splits]
    if settings.flip:
        wanted += [(split, True) for split in splits if split != "train"]
    predictions = {}
    for split, mirrored in wanted:
        dataset = make_eval_dataset(prepared[split], settings.batch_size, mirrored=mirrored)
        logits = model.predict(dataset, verbose=0).astype(np.float64)
        predictions[split, mirrored] = log_softmax(logits, axis=1).astype(np.float32)
    return predictions


def score_splits(
    predictions: Predictions, prepared: Prepared, settings: EvaluateParams
) -> dict[Split, outputs.Scores]:
    """Score the predictions of each split.

    `flip_accuracy` uses the mean of the probabilities of an image and its mirror image.
    """
    data = prepared.metadata
    coarse = data["superclass_names"] != data["class_names"]
    superclass_of = np.array(data["superclass_of"]) if coarse else None
    balanced = has_unequal_classes(prepared["train"]["label"])
    scores: dict[Split, outputs.Scores] = {}
    for (split, mirrored), values in predictions.items():
        labels = prepared[split]["label"]
        if not mirrored:
            scores[split] = score(values, labels, settings.top_k, superclass_of, balanced)
            continue
        both = np.logaddexp(predictions[split, False], values)
        scores[split]["flip_accuracy"] = float((both.argmax(axis=1) == labels).mean())
    return scores


def summarise(history: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Collect what the report says about a training besides its scores."""
    kept = best_row(history.to_dict("records"), facts["watched"])
    return {
        **facts,
        "epochs": len(history),
        "best_epoch": int(kept["epoch"]),
        "seconds_per_epoch": float(history["seconds"].mean()),
        "images_per_second": float(stats.hmean(history["images_per_second"])),
        "training_seconds": float(history["seconds"].sum()),
        "peak_memory_mb": float(history["peak_memory_mb"].max()),
    }


def describe_images(prepared: Prepared, split: Split) -> outputs.EvaluationSet:
    """Return the labels and duplicates of the scored images."""
    scored, others = prepared[split], SPLITS[: SPLITS.index(split)]
    known = np.concatenate([prepared[other]["group"] for other in others])
    of_training = np.isin(scored["group"], known)
    return outputs.EvaluationSet(scored["label"], scored["group"], of_training)
