import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from pipeline.evaluation.scores import score
from pipeline.reporting import audit

of = audit.Answers.of


def scored(rng, images):
    """Made-up log-probabilities of 100 classes, and labels that they often hit."""
    labels = rng.integers(0, 100, images)
    logits = rng.normal(0, 2, (images, 100))
    logits[np.arange(images), labels] += 4
    return log_softmax(logits, axis=1), labels


def test_answers_come_back_and_shared_trainings_are_kept_once(tmp_path):
    rng = np.random.default_rng(0)
    made = [of(*scored(rng, images=1_001)) for _ in range(2)]
    answers = {
        "this run/baseline/dropblock/0": made[0],
        "this run/resnet/dropblock/0": made[1],
        "block-7/baseline/dropblock/0": made[0],
    }
    file = tmp_path / "predictions.npz"
    audit.save_answers(file, answers)
    read = audit.read_answers(file)
    assert list(read) == list(answers)
    for name, found in answers.items():
        for field in audit.Answers._fields:
            np.testing.assert_array_equal(getattr(read[name], field), getattr(found, field))
    with np.load(file) as saved:
        assert saved["predicted"].shape == (2, 1_001)


def test_a_training_of_ten_thousand_images_takes_less_than_60_kilobytes(tmp_path):
    answers = {"this run/resnet/dropblock/0": of(*scored(np.random.default_rng(0), 10_000))}
    audit.save_answers(tmp_path / "predictions.npz", answers)
    assert (tmp_path / "predictions.npz").stat().st_size < 60e3


def test_loss_top_k_and_calibration_follow_from_the_answers(tmp_path):
    log_probabilities, labels = scored(np.random.default_rng(0), 5_000)
    log_probabilities[0] = -300.0 * np.arange(100)  # nearly all classes are impossible
    expected = score(log_probabilities, labels, 5)
    audit.save_answers(tmp_path / "a.npz", {"a/b/c/0": of(log_probabilities, labels)})
    (found,) = audit.read_answers(tmp_path / "a.npz").values()
    assert -found.truth.mean(dtype=float) == pytest.approx(expected["loss"], rel=1e-3)
    assert (found.above < 5).mean() == expected["top_k_accuracy"]
    confidence = np.exp(found.top.astype(float))
    bins = pd.cut(confidence, np.linspace(0, 1, 16))
    gaps = pd.DataFrame({"bin": bins, "gap": found.right - confidence})
    bins = gaps.groupby("bin", observed=True)["gap"]
    error = (bins.mean().abs() * bins.size()).sum() / len(labels)
    assert error == pytest.approx(expected["calibration_error"], abs=1e-3)


def test_more_than_256_classes_fit(tmp_path):
    log_probabilities = np.full((2, 400), -9.0)
    log_probabilities[[0, 1], [300, 1]] = -0.1
    answers = {"this run/a/dropblock/0": of(log_probabilities, np.array([300, 2]))}
    audit.save_answers(tmp_path / "a.npz", answers)
    read = audit.read_answers(tmp_path / "a.npz")
    assert read["this run/a/dropblock/0"].predicted.tolist() == [300, 1]
