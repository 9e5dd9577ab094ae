import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.sections import calibration
from tests.reporting.conftest import results_of


def claiming(confidence, right):
    """Return results of class 0 with this confidence, which is right for the first `right`."""
    found = results_of(
        {
            ("resnet", "dropblock", seed): np.log(np.tile([c, (1 - c) / 2, (1 - c) / 2], (200, 1)))
            for seed, c in enumerate(np.atleast_1d(confidence))
        },
        np.where(np.arange(200) < right, 0, 1),
    )
    found.metrics["best_test_calibration_error"] = 0.05
    return found


def described(results):
    return calibration.describe_calibration(results)


def test_confidence_beyond_chance_is_said_to_be_too_high_or_too_low():
    assert ": overconfident; " in described(claiming(0.9, right=140))
    assert described(claiming(0.9, right=140)).endswith(calibration.ONE_SEED)
    assert described(claiming([0.9, 0.8], right=140)).endswith(calibration.NOTE)
    assert ": underconfident; " in described(claiming(0.5, right=140))


def test_a_difference_within_chance_is_neither():
    said = described(claiming(0.72, right=140))
    assert "mean confidence 72.0 %, accuracy 70.0 %" in said
    assert "neither over- nor underconfident beyond chance" in said
    excess = np.where(np.arange(200) < 140, 0.72 - 1, 0.72)
    bounds = stats.ttest_1samp(excess, 0).confidence_interval(0.95)
    assert f"+2.0 points ({100 * bounds.low:+.1f} to {100 * bounds.high:+.1f})" in said


def test_the_choice_of_test_images_is_a_part_of_chance():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(100):  # the networks agree on what is hard, and are perfectly calibrated
        results = claiming([0.7] * 6, right=rng.binomial(200, 0.7))
        wrong += "beyond chance" not in described(results)
    assert stats.binomtest(wrong, 100, 0.05).pvalue > 0.001


def test_the_calibration_error_is_the_mean_of_the_seeds():
    results = claiming([0.6, 0.8], right=140)
    assert "expected calibration error 5.0 points" in described(results)
    assert calibration.overconfidence(results, "resnet").mean() == pytest.approx(0)
