import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from pipeline.evaluation import scores


def test_scores_equal_hand_computed_ones():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
    labels, superclass_of = np.array([0, 1, 1]), np.array([0, 1, 1])
    found = scores.score(np.log(probabilities), labels, 2, superclass_of)
    assert found["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.4]).mean())
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["top_k_accuracy"] == pytest.approx(1.0)
    assert "balanced_accuracy" not in found
    assert found["superclass_accuracy"] == pytest.approx(2 / 3)  # 1 and 2 share a superclass
    # Three bins of one image each: |1 - 0.7|, |0 - 0.6| and |0 - 0.5|.
    assert found["calibration_error"] == pytest.approx((0.3 + 0.6 + 0.5) / 3)


def test_extreme_logits_do_not_overflow():
    values = log_softmax(np.array([[1e4, 0.0, 0.0]]), axis=1).astype(np.float32)
    found = scores.score(values, np.array([1]), top_k=1)
    assert (found["loss"], found["accuracy"]) == (1e4, 0.0)


def test_balanced_accuracy_is_the_mean_of_the_classes_with_images():
    predicted, labels = np.array([0, 0, 0, 2, 1, 3]), np.array([0, 0, 0, 0, 1, 1])
    values = log_softmax(5.0 * np.eye(4)[predicted], axis=1)
    found = scores.score(values, labels, top_k=4, balanced=True)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert "top_k_accuracy" not in found  # of four classes
    assert "superclass_accuracy" not in found


def test_classes_are_unequal_from_a_fifth_more_images():
    assert not scores.has_unequal_classes(np.repeat([0, 1, 3], [10, 12, 11]))
    assert scores.has_unequal_classes(np.repeat([0, 1, 3], [10, 13, 11]))


@pytest.mark.parametrize(("k", "expected"), [(1, 0.5), (2, 0.5), (3, 1.0)])
def test_top_k_counts_labels_among_the_k_highest(k, expected):
    logits = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]])
    assert scores.top_k_accuracy(logits, np.array([0, 2]), k) == expected


def naive_calibration_error(confidence, correct, bins=15):
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if b <= c * bins < b + 1 or b == c * bins - 1]
        if inside:
            gap = np.mean(correct[inside]) - np.mean(confidence[inside])
            total += len(inside) * abs(gap)
    return total / len(confidence)


def test_the_calibration_error_is_the_weighted_mean_gap_of_the_bins():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5) / 2, 2_000)
    labels = rng.integers(5, size=2_000)
    table = scores.calibration_table(np.log(probabilities), labels)
    correct = probabilities.argmax(axis=1) == labels
    expected = naive_calibration_error(probabilities.max(axis=1), correct)
    assert scores.calibration_error(table) == pytest.approx(expected)
    assert table["count"].sum() == 2_000


def test_a_calibrated_classifier_has_almost_no_error_and_a_sure_one_is_in_the_last_bin():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), 50_000)
    labels = np.array([rng.choice(4, p=p) for p in probabilities[:20_000]])
    table = scores.calibration_table(np.log(probabilities[:20_000]), labels)
    assert scores.calibration_error(table) < 0.01
    with np.errstate(divide="ignore"):
        sure = scores.calibration_table(np.log(np.eye(3)), np.arange(3))
    expected = pd.DataFrame({"confidence": [1.0], "accuracy": [1.0], "count": [3]}, index=[14])
    pd.testing.assert_frame_equal(sure, expected.rename_axis("bin"))
