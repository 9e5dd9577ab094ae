"""Find trainings that learned nothing."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from pipeline.reporting.formats import escape, listed
from pipeline.reporting.results import Key, Results

ONE_CLASS = 0.95  # share of the other classes' images that are predicted as one class
# A training has learned nothing if it is better than guessing by less than half of that accuracy,
# by less than five points, and by less than a tenth of what is possible.
SHARE_OF_CHANCE, POINTS, SHARE_OF_POSSIBLE = 0.5, 0.05, 0.1


def answers_one_class(results: Results) -> dict[str, list[Key]]:
    """Return the trainings that predict one class for nearly all scored images, by that class."""
    names, labels, found = results.metadata["class_names"], results.images.labels, defaultdict(list)
    for key, values in results.predictions.items():
        predicted = values.argmax(axis=1)
        most = int(np.bincount(predicted).argmax())
        # If most images are of one class, so are most good answers.
        others = predicted[labels != most]
        if len(others) and (others == most).mean() >= ONE_CLASS:
            found[escape(names[most])].append(key)
    return found


def never_left_start(results: Results) -> list[Key]:
    """Return the trainings whose training accuracy never rose much above that of guessing."""
    chance = results.metadata["largest_class"]
    least = chance + min(SHARE_OF_CHANCE * chance, POINTS, SHARE_OF_POSSIBLE * (1 - chance))
    score = "clean_train_accuracy" if results.watched else "train_accuracy"
    best = results.history.groupby(["network", "variant", "seed"])[score].max()
    return [key for key, accuracy in best.items() if accuracy < least]


def describe_flags(results: Results) -> list[str]:
    """Describe such trainings, in a sentence for all seeds of a network and variant."""
    said = [
        f"{name}: predicts one class, {answer}, for nearly all images, so its score says nothing "
        "about the network."
        for answer, keys in answers_one_class(results).items()
        for name in _names(keys)
    ]
    guessing = f"{100 * results.metadata['largest_class']:.0f} %"
    return said + [
        f"{name}: learned nothing; its training accuracy stayed close to that of guessing "
        f"({guessing}). Try another learning_rate or more epochs."
        for name in _names(never_left_start(results))
    ]


def _names(keys: Iterable[Key]) -> list[str]:
    seeds = defaultdict(list)
    for network, variant, seed in keys:
        seeds[f"{network}, {variant}"].append(str(seed))
    return [f"{name}, seed{'s' * (len(own) > 1)} {listed(own)}" for name, own in seeds.items()]
