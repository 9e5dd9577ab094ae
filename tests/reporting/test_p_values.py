import itertools

import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.p_values import (
    SEEDS_NEEDED,
    max_t_p_values,
    mcnemar,
    sign_flip_p_value,
    sign_flips,
)
from tests.recomputed import max_t


@pytest.mark.parametrize("count", [2, 3, 5, 6, 8])
def test_the_p_value_counts_the_sign_flips_at_least_as_extreme(count):
    differences = np.random.default_rng(count).normal(0.4, 1, count)
    flips = np.array(list(itertools.product([-1, 1], repeat=count)))
    means = (flips * differences).mean(axis=1)
    observed = differences.mean()
    share = np.mean(means >= observed - 1e-12), np.mean(means <= observed + 1e-12)
    assert sign_flip_p_value(differences) == pytest.approx(min(1, 2 * min(share)))


@pytest.mark.parametrize(("seeds", "smallest"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_fewer_than_six_seeds_cannot_fall_below_5_percent(seeds, smallest):
    always_better = np.linspace(0.01, 0.02, seeds)
    assert sign_flip_p_value(always_better) == smallest
    assert (smallest < 0.05) == (seeds >= SEEDS_NEEDED)


@pytest.mark.parametrize("seeds", [3, 5, 6])
def test_contrasts_are_adjusted_by_the_largest_statistic_of_each_flip(seeds):
    rng = np.random.default_rng(seeds)
    differences = rng.normal([0.0, 0.5, 2.0, 1.0], 1.0, (seeds, 4))
    found = max_t_p_values(differences)
    assert found == pytest.approx(max_t(differences.T))


def test_six_seeds_can_tell_one_of_four_contrasts_where_holm_could_not():
    rng = np.random.default_rng(1)
    differences = rng.normal(0, 20, (6, 4)).round()
    differences[:, 2] = [300, 310, 295, 305, 300, 302]
    p_values = max_t_p_values(differences)
    assert p_values[2] == 0.03125
    assert (np.delete(p_values, 2) > 0.05).all()


def test_contrasts_that_are_none_have_a_p_of_one():
    assert max_t_p_values(np.zeros((6, 3))).tolist() == [1, 1, 1]


def test_beyond_thirteen_seeds_the_flips_are_sampled_with_the_data_among_them():
    rng = np.random.default_rng(0)
    flips = sign_flips(20)
    assert flips.shape == (10_000, 20)
    assert (flips[0] == 1).all()
    assert sign_flip_p_value(np.full(20, 1.0) + rng.random(20)) == 1e-4
    null = rng.normal(0, 1, 20)
    exact = stats.permutation_test((null,), np.mean, permutation_type="samples",
                                   n_resamples=50_000, axis=0, rng=1).pvalue  # fmt: skip
    assert sign_flip_p_value(null) == pytest.approx(exact, abs=0.02)


def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_images():
    baseline = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1], bool)
    resnet = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 1], bool)
    # One against five: 2 x (C(6,0) + C(6,1)) / 2^6 = 14 / 64.
    assert mcnemar(baseline, resnet) == (1, 5, pytest.approx(14 / 64))
    assert mcnemar(baseline, baseline) == (0, 0, 1.0)
