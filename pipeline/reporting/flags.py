"""What is wrong with a training itself, whatever is compared: it learnt nothing."""

import numpy as np

from pipeline.reporting.results import Key, Results

ONE_CLASS = 0.95  # of the test images in one class
ABOVE_CHANCE = 1.5  # times the accuracy of guessing that a training has to reach to have begun


def answers_one_class(results: Results) -> list[tuple[Key, str]]:
    """Return the trainings that take nearly all test images for one class, and that class."""
    names, found = results.metadata["class_names"], []
    for key, values in results.predictions.items():
        counts = np.bincount(values.argmax(axis=1), minlength=len(names))
        if counts.max() >= ONE_CLASS * counts.sum():
            found.append((key, names[int(counts.argmax())]))
    return found


def never_left_start(results: Results) -> list[Key]:
    """Return the trainings that never had the training images right much above chance."""
    chance = 1 / len(results.metadata["class_names"])
    score = "clean_train_accuracy" if results.watched else "train_accuracy"
    best = results.history.groupby(["network", "variant", "seed"])[score].max()
    return [key for key, accuracy in best.items() if accuracy < ABOVE_CHANCE * chance]


def describe_flags(results: Results) -> list[str]:
    """Say of each such training what it did."""
    said = [
        f"The {_name(key)} predicts one class, {name}, for nearly all test images: its score says "
        "nothing about the network."
        for key, name in answers_one_class(results)
    ]
    return said + [
        f"The {_name(key)} learned nothing: in no epoch was its training accuracy as high as "
        f"{ABOVE_CHANCE:g} times that of guessing. Try another learning_rate, or more epochs."
        for key in never_left_start(results)
    ]


def _name(key: Key) -> str:
    network, variant, seed = key
    return f"{network}, {variant}, seed {seed}"
