"""Find trainings that learned nothing."""

import numpy as np

from pipeline.reporting.results import Key, Results

ONE_CLASS = 0.95  # share of the scored images that are predicted as one class
ABOVE_CHANCE = 1.5  # times the accuracy of guessing; below it a training has learned nothing


def answers_one_class(results: Results) -> list[tuple[Key, str]]:
    """Return the trainings that predict one class for nearly all scored images, and that class."""
    names, found = results.metadata["class_names"], []
    for key, values in results.predictions.items():
        counts = np.bincount(values.argmax(axis=1), minlength=len(names))
        if counts.max() >= ONE_CLASS * counts.sum():
            found.append((key, names[int(counts.argmax())]))
    return found


def never_left_start(results: Results) -> list[Key]:
    """Return the trainings whose training accuracy never rose much above chance."""
    chance = 1 / len(results.metadata["class_names"])
    score = "clean_train_accuracy" if results.watched else "train_accuracy"
    best = results.history.groupby(["network", "variant", "seed"])[score].max()
    return [key for key, accuracy in best.items() if accuracy < ABOVE_CHANCE * chance]


def describe_flags(results: Results) -> list[str]:
    """Describe each such training in a sentence."""
    said = [
        f"{_name(key)}: predicts one class, {name}, for nearly all images, so its score says "
        "nothing about the network."
        for key, name in answers_one_class(results)
    ]
    return said + [
        f"{_name(key)}: learned nothing; its training accuracy never reached "
        f"{ABOVE_CHANCE:g} times that of guessing. Try another learning_rate or more epochs."
        for key in never_left_start(results)
    ]


def _name(key: Key) -> str:
    network, variant, seed = key
    return f"{network}, {variant}, seed {seed}"
