import numpy as np
import pytest
from scipy import stats

from pipeline.reporting import power
from pipeline.reporting.comparison import sign_flip_p_value


@pytest.mark.parametrize(("ratio", "seeds"), [(3.0, 3), (1.0, 6), (0.7, 18), (0.2, 40)])
def test_the_t_intervals_power_is_how_often_a_t_test_finds_the_difference(ratio, seeds):
    draws = np.random.default_rng(0).normal(ratio, 1, (20_000, seeds))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power.t_power(ratio, seeds) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("seeds", [6, 7, 9])
def test_the_verdicts_power_is_how_often_both_of_its_rules_are_met(seeds):
    draws = np.random.default_rng(1).normal(1.3, 1, (600, seeds))
    met = [sign_flip_p_value(d) < 0.05 and stats.ttest_1samp(d, 0).pvalue < 0.05 for d in draws]
    assert power.verdict_power(1.3, seeds) == pytest.approx(np.mean(met), abs=0.06)


def test_without_the_seeds_spread_the_images_alone_hide_smaller_differences():
    smallest = power.smallest_of_images(0.3)
    draws = np.random.default_rng(0).normal(smallest, 0.3, 20_000)
    assert (np.abs(draws) > 1.96 * 0.3).mean() == pytest.approx(0.8, abs=0.01)


def test_no_verdict_has_any_power_below_six_seeds():
    assert power.verdict_power(100.0, 5) == 0
    assert power.smallest_verdict_ratio(5) is None


def test_sign_flips_over_six_seeds_ask_for_more_than_the_t_interval():
    assert power.smallest_verdict_ratio(6) > 1.2 * power.smallest_t_ratio(6)
    assert power.smallest_verdict_ratio(12) == pytest.approx(power.smallest_t_ratio(12), rel=0.03)


@pytest.mark.parametrize("seeds", [6, 8, 13])
def test_the_smallest_verdict_is_where_the_power_reaches_80_percent(seeds):
    smallest = power.smallest_verdict_ratio(seeds)
    assert power.verdict_power(smallest, seeds) >= 0.8 - 1e-3
    assert power.verdict_power(0.99 * smallest, seeds) < 0.8


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
