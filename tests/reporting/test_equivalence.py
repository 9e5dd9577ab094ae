import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.comparison import Comparison
from pipeline.reporting.equivalence import equivalence
from pipeline.reporting.intervals import Interval

BY_SEED = [0.011, 0.004, -0.002, 0.006, 0.009, 0.003]


def compared(by_seed):
    return Comparison(Interval(0, 0, 0), None, 0.0, dict(enumerate(by_seed)), 1.0)


@pytest.mark.parametrize("margin", [0.2, 1.0, 3.0])
def test_both_sides_are_scipys_one_sided_t_tests(margin):
    found = equivalence(compared(BY_SEED), margin)
    points = 100 * np.array(BY_SEED)
    below = stats.ttest_1samp(points, margin, alternative="less").pvalue
    above = stats.ttest_1samp(points, -margin, alternative="greater").pvalue
    assert (found.better, found.worse) == pytest.approx((below, above))
    interval = stats.ttest_1samp(points, 0).confidence_interval(0.90)
    assert found.alike == (-margin < interval.low and interval.high < margin)


def test_few_seeds_get_no_verdict_and_one_seed_no_test():
    found = equivalence(compared([0.001, 0.0, -0.001]), 5.0)
    assert found.p_value < 0.05
    assert not found.alike
    assert equivalence(compared([0.001]), 5.0) is None


@pytest.mark.parametrize("images", range(6))
def test_nothing_is_said_of_seeds_that_do_not_vary(images):
    assert equivalence(compared([images / 1_000] * 6), 0.5) is None


def test_it_errs_in_5_percent_where_the_true_difference_is_the_margin():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.01, 0.003, (2_000, 6))
    alike = [equivalence(compared(d), 1.0).alike for d in draws]
    assert np.mean(alike) == pytest.approx(0.05, abs=0.015)
