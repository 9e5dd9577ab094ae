import numpy as np
import pandas as pd

from pipeline.reporting.flags import describe_flags
from tests.reporting.conftest import predicting, results_of


def history(accuracies):
    rows = [
        {"network": name, "variant": "dropblock", "seed": 0, "epoch": epoch,
         "clean_train_accuracy": accuracy}
        for name, values in accuracies.items()
        for epoch, accuracy in enumerate(values, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def flags(accuracies, baseline):
    predictions = {
        ("baseline", "dropblock", 0): predicting(baseline),
        ("resnet", "dropblock", 0): predicting(np.arange(60) % 3),
    }
    return describe_flags(results_of(predictions, np.arange(60) % 3, history(accuracies)))


def test_a_network_that_answers_one_class_is_named_with_the_class():
    learnt = {"baseline": [0.4, 0.8], "resnet": [0.4, 0.9]}
    (said,) = flags(learnt, np.where(np.arange(60) < 59, 1, 0))
    assert said.startswith(
        "baseline, dropblock, seed 0: predicts one class, b, for nearly all images"
    )
    assert flags(learnt, np.arange(60) % 2) == []


def test_a_class_named_like_a_picture_loads_none():
    answers = {("baseline", "dropblock", 0): predicting(np.zeros(60, int))}
    results = results_of(answers, np.arange(60) % 3, history({"baseline": [0.4, 0.8]}))
    results.metadata["class_names"] = ["![x](http://y)", "b", "c"]
    assert "one class, !\\[x](http://y), for" in describe_flags(results)[0]


def test_a_training_that_never_had_more_right_than_guessing_never_left_its_start():
    (said,) = flags({"baseline": [0.4, 0.8], "resnet": [0.33, 0.38]}, np.arange(60) % 3)
    assert said.startswith("resnet, dropblock, seed 0: learned nothing; ")


def test_seeds_with_the_same_fault_share_a_sentence():
    answers = {("resnet", "nodrop", seed): predicting(np.zeros(60, int)) for seed in (1, 2, 5)}
    results = results_of(answers, np.arange(60) % 3, history({"baseline": [0.4, 0.8]}))
    (said,) = describe_flags(results)
    assert said.startswith("resnet, nodrop, seeds 1, 2 and 5: predicts one class, a,")


def test_guessing_on_training_images_is_measured_by_their_own_largest_class():
    labels = np.arange(60) % 10 // 9  # 90 % of the test images are of one class
    answers = {("baseline", "dropblock", 0): predicting(labels)}
    results = results_of(answers, labels, history({"baseline": [0.6, 0.93]}))
    results.metadata["largest_class"] = 0.5
    assert describe_flags(results) == []
    results.metadata["largest_class"] = 0.9
    assert describe_flags(results) == []  # a third of guessing's errors are gone
    results.metadata["largest_class"] = 0.925
    assert "guessing (92 %)" in describe_flags(results)[0]
