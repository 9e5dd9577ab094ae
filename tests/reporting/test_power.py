import numpy as np
import pytest
from scipy import stats

from pipeline.reporting import power
from pipeline.reporting.p_values import LEVEL, sign_flips


@pytest.mark.parametrize(("ratio", "seeds"), [(3.0, 3), (1.0, 6), (0.7, 18), (0.2, 40)])
def test_the_t_intervals_power_is_how_often_a_t_test_finds_the_difference(ratio, seeds):
    draws = np.random.default_rng(0).normal(ratio, 1, (20_000, seeds))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power.t_power(ratio, seeds) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize(("seeds", "ratio"), power.SIMULATED.items())
def test_a_verdict_has_80_percent_power_at_its_smallest_ratio(seeds, ratio):
    draws = np.random.default_rng(1).normal(ratio, 1, (seeds, 4_000))
    sums = np.abs(sign_flips(seeds) @ draws)
    p_values = (sums >= sums[0] - 1e-9).mean(axis=0)
    outside = stats.ttest_1samp(draws, 0).pvalue < LEVEL
    assert ((p_values < LEVEL) & outside).mean() == pytest.approx(power.POWER, abs=0.02)


def test_without_the_seeds_spread_the_images_alone_hide_smaller_differences():
    smallest = power.smallest_of_images(0.3)
    draws = np.random.default_rng(0).normal(smallest, 0.3, 20_000)
    assert (np.abs(draws) > 1.96 * 0.3).mean() == pytest.approx(0.8, abs=0.01)


def test_there_is_no_verdict_below_six_seeds():
    assert power.smallest_verdict_ratio(5) is None


def test_a_textbook_sample_size():
    """Cohen's d of 0.5, paired, two-sided, 80 %: 34 pairs (Cohen 1988; G*Power)."""
    assert power.smallest_t_ratio(34) < 0.5 < power.smallest_t_ratio(33)


def test_a_standard_deviation_has_the_chi_squared_interval():
    low, high = power.spread_interval(1.6, 3)
    assert (low, high) == pytest.approx((0.833, 10.06), rel=0.01)
    draws = np.random.default_rng(0).normal(0, 1.6, (4_000, 3)).std(axis=1, ddof=1)
    bounds = np.array([power.spread_interval(float(s), 3) for s in draws])
    covered = ((bounds[:, 0] <= 1.6) & (bounds[:, 1] >= 1.6)).mean()
    assert covered == pytest.approx(0.95, abs=0.015)
