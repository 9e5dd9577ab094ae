import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.intervals import crossed_interval, pooled_half, variances_of_mean
from tests.recomputed import two_way_parts


def test_the_images_variance_is_added_to_that_of_the_seeds():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 60)) + rng.normal(size=60) + rng.normal(size=(4, 1)) / 20
    seed_part, image_part = two_way_parts(values)
    assert variances_of_mean(values) == pytest.approx((seed_part, image_part), rel=1e-4)
    assert image_part > seed_part
    found = crossed_interval(values)
    assert (found.high - found.low) / 2 >= 1.96 * (seed_part + image_part) ** 0.5


def test_the_pooled_interval_is_that_of_least_squares_with_seeds_and_arms():
    seeds, arms = 6, 4
    rng = np.random.default_rng(0)
    values = rng.normal(size=(seeds, arms)) + rng.normal(size=(seeds, 1))
    rows = [(s, a) for s in range(seeds) for a in range(arms)]
    design = np.zeros((len(rows), seeds + arms - 1))  # the first arm is the reference
    for row, (s, a) in zip(design, rows, strict=True):
        row[s] = 1
        if a:
            row[seeds + a - 1] = 1
    solution, rest, *_ = np.linalg.lstsq(design, values.ravel())
    freedom = len(rows) - design.shape[1]
    error = (rest[0] / freedom * np.linalg.inv(design.T @ design)[seeds, seeds]) ** 0.5
    assert solution[seeds] == pytest.approx((values[:, 1] - values[:, 0]).mean())
    assert pooled_half(values) == pytest.approx(stats.t.ppf(0.975, freedom) * error)


def test_the_pooled_interval_of_two_arms_is_the_paired_one():
    values = np.random.default_rng(1).normal(size=(5, 2))
    paired = stats.ttest_rel(values[:, 1], values[:, 0]).confidence_interval(0.95)
    assert pooled_half(values) == pytest.approx((paired.high - paired.low) / 2)
