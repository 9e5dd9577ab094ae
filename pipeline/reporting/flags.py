"""Find trainings that learned nothing."""

import numpy as np

from pipeline.reporting.formats import escape
from pipeline.reporting.results import Key, Results

ONE_CLASS = 0.95  # share of the other classes' images that are predicted as one class
# A training has learned nothing if it is better than guessing by less than half of that accuracy,
# by less than five points, and by less than half of what is possible.
SHARE_OF_CHANCE, POINTS, SHARE_OF_POSSIBLE = 0.5, 0.05, 0.5


def answers_one_class(results: Results) -> list[tuple[Key, str]]:
    """Return the trainings that predict one class for nearly all scored images, and that class."""
    names, labels, found = results.metadata["class_names"], results.images.labels, []
    for key, values in results.predictions.items():
        predicted = values.argmax(axis=1)
        most = int(np.bincount(predicted).argmax())
        # If most images are of one class, so are most good answers.
        others = predicted[labels != most]
        if len(others) and (others == most).mean() >= ONE_CLASS:
            found.append((key, escape(names[most])))
    return found


def never_left_start(results: Results) -> list[Key]:
    """Return the trainings whose training accuracy never rose much above that of guessing."""
    chance = results.metadata["largest_class"]
    least = chance + min(SHARE_OF_CHANCE * chance, POINTS, SHARE_OF_POSSIBLE * (1 - chance))
    score = "clean_train_accuracy" if results.watched else "train_accuracy"
    best = results.history.groupby(["network", "variant", "seed"])[score].max()
    return [key for key, accuracy in best.items() if accuracy < least]


def describe_flags(results: Results) -> list[str]:
    """Describe each such training in a sentence."""
    said = [
        f"{_name(key)}: predicts one class, {name}, for nearly all images, so its score says "
        "nothing about the network."
        for key, name in answers_one_class(results)
    ]
    guessing = f"{100 * results.metadata['largest_class']:.0f} %"
    return said + [
        f"{_name(key)}: learned nothing; its training accuracy stayed close to that of guessing "
        f"({guessing}). Try another learning_rate or more epochs."
        for key in never_left_start(results)
    ]


def _name(key: Key) -> str:
    network, variant, seed = key
    return f"{network}, {variant}, seed {seed}"
