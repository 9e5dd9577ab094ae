"""Scores of a classifier from its log-probabilities: loss, accuracies, calibration."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import recall_score

from pipeline.evaluation.outputs import Scores

UNEQUAL = 1.2  # times the images of the smallest class
CALIBRATION_BINS = 15  # as Guo et al., arXiv 1706.04599


def score(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    top_k: int,
    superclass_of: np.ndarray | None = None,
    balanced: bool = False,
) -> Scores:
    """Score (n, classes) log-probabilities against (n,) labels.

    Args:
        superclass_of: the superclass of each class; None if there are no superclasses.
        balanced: add balanced_accuracy, the mean over the classes of each one's accuracy.

    Returns:
        loss (mean cross entropy in nats) and, from 0 to 1, accuracy, top_k_accuracy if there are
        more than top_k classes, superclass_accuracy (whether the most likely class has the right
        superclass) if there are superclasses, calibration_error.
    """
    predicted = log_probabilities.argmax(axis=1)
    picked = log_probabilities[np.arange(len(labels)), labels].astype(np.float64)
    some = {}
    if balanced:
        present = np.unique(labels)
        recall = recall_score(labels, predicted, labels=present, average="macro")
        some["balanced_accuracy"] = float(recall)
    if top_k < log_probabilities.shape[1]:
        some["top_k_accuracy"] = top_k_accuracy(log_probabilities, labels, top_k)
    if superclass_of is not None:
        same = superclass_of[predicted] == superclass_of[labels]
        some["superclass_accuracy"] = float(same.mean())
    return {
        "loss": float(-picked.mean()),
        "accuracy": float((predicted == labels).mean()),
        **some,
        "calibration_error": calibration_error(calibration_table(log_probabilities, labels)),
    }


def has_unequal_classes(labels: np.ndarray) -> bool:
    """Whether the largest class has over 1.2 times the images of the smallest that has any."""
    counts = np.bincount(labels)
    return bool(counts.max() > UNEQUAL * counts[counts > 0].min())


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the share of images whose label is among the k highest of (n, classes) scores."""
    truth = np.take_along_axis(scores, labels[:, np.newaxis].astype(int), axis=1)
    return float(((scores > truth).sum(axis=1) < k).mean())


def calibration_table(log_probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return confidence, accuracy and image count for each of 15 bins of confidence.

    Confidence is the probability of the most likely class; bins without images are left out.
    """
    confidence = np.exp(log_probabilities.max(axis=1).astype(np.float64))
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    correct = log_probabilities.argmax(axis=1) == labels
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "correct": correct})
    return table.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("correct", "mean"), count=("correct", "size")
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error: mean gap between accuracy and confidence, 0 to 1."""
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float(np.average(gaps, weights=table["count"]))


def superclass_confusion(
    predicted: np.ndarray, labels: np.ndarray, metadata: dict[str, Any]
) -> pd.DataFrame:
    """Return the percentage of each actual superclass (row) predicted as each superclass (column).

    Args:
        predicted, labels: (n,) classes.
        metadata: of the prepared data; its order of superclasses is the table's.
    """
    names = metadata["superclass_names"]
    of_class = np.array(names)[metadata["superclass_of"]]
    actual = pd.Series(of_class[labels], name="actual")
    taken_for = pd.Series(of_class[predicted], name="predicted")
    shares = pd.crosstab(actual, taken_for, normalize="index")
    return 100 * shares.reindex(index=names, columns=names, fill_value=0)
