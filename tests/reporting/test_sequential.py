import itertools

import numpy as np
import pytest

from pipeline.reporting.sequential import DECIDED, e_values


def test_over_all_signs_of_the_same_differences_the_mean_is_one_after_each_seed():
    sizes = np.random.default_rng(0).exponential(size=9)
    found = [e_values(sizes * signs) for signs in itertools.product([1, -1], repeat=9)]
    assert np.mean(found, axis=0) == pytest.approx(np.ones(9))


def test_without_a_difference_it_is_ever_reached_in_at_most_5_percent_of_cases():
    rng = np.random.default_rng(1)
    ever = [e_values(rng.standard_t(3, 40)).max() >= DECIDED for _ in range(4000)]
    assert 0.01 < np.mean(ever) < 0.05


def test_it_is_that_of_a_direct_computation():
    differences = np.array([0.02, -0.01, 0.0, 0.03])
    for count in range(1, 5):
        scale = [np.sqrt(np.mean(differences[:i] ** 2)) for i in range(1, count + 1)]
        ratios = [
            np.prod([2 / (1 + np.exp(-2 * rate * d / s))
                     for d, s in zip(differences, scale, strict=False)])
            for rate in (0.5, 1, 2, 4, -0.5, -1, -2, -4)
        ]  # fmt: skip
        assert e_values(differences)[count - 1] == pytest.approx(np.mean(ratios))


def test_the_scale_does_not_count_and_equal_networks_are_no_evidence():
    differences = np.random.default_rng(2).normal(1, 1, 12)
    assert e_values(1e-4 * differences) == pytest.approx(e_values(differences))
    assert e_values(np.zeros(12)).tolist() == [1.0] * 12
