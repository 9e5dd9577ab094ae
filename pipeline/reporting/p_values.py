"""Exact tests: sign flips over seeds, adjusted by max-T, and McNemar's over images."""

import itertools
from functools import cache

import numpy as np
from scipy import stats

from pipeline.reporting.intervals import Interval

LEVEL = 0.05
SEEDS_NEEDED = 6  # the smallest two-sided p of n sign flips is 2 / 2^n: 0.0625 for 5, 0.03125 for 6
ALL_FLIPS = 13  # up to this many seeds, all 2^n sign flips are enumerated
SAMPLED_FLIPS = 10_000  # for more seeds, this many random ones, among them the data's own


def is_significant(p_value: float, difference: Interval) -> bool:
    """Whether there is evidence of a difference: p below 0.05 and an interval without 0."""
    return p_value < LEVEL and difference.excludes_zero


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Return the two-sided sign-flip p-value of (n,) paired differences.

    Under the null hypothesis that the methods are equally good, each difference is as likely as its
    negative. Above 13 seeds the flips are sampled. A single difference always gives 1.
    """
    return float(max_t_p_values(np.asarray(differences)[:, np.newaxis])[0])


def max_t_p_values(differences: np.ndarray) -> np.ndarray:
    """Return each contrast's p-value, adjusted for testing all of them (Westfall-Young max-T).

    Each flip changes the signs of whole seeds, in all contrasts at once. A contrast's statistic is
    compared with the largest statistic of each flip, in the step-down procedure of Westfall and
    Young (1993). The statistic increases with Student's t; it is 0 if all differences are 0.

    Args:
        differences: (seeds, contrasts), preferably whole numbers of images, whose sums are exact.
    """
    norms = np.sqrt((differences.astype(float) ** 2).sum(axis=0))
    sums = np.abs(sign_flips(len(differences)) @ differences.astype(float))
    statistics = sums / np.where(norms > 0, norms, 1)
    order = np.argsort(-statistics[0], kind="stable")  # the first flip changes no sign: the data
    largest_left = np.maximum.accumulate(statistics[:, order[::-1]], axis=1)[:, ::-1]
    reached = largest_left >= statistics[0, order] - 1e-9
    p_values = np.empty(len(order))
    p_values[order] = np.maximum.accumulate(reached.mean(axis=0))
    return p_values


def smallest_p(seeds: int) -> float:
    """Return the floor of a two-sided p-value: no result of so many seeds has a smaller one."""
    return 2 / 2**seeds if seeds <= ALL_FLIPS else 1 / SAMPLED_FLIPS


@cache
def sign_flips(count: int) -> np.ndarray:
    """Return flips of `count` signs: (flips, count) of 1 and -1; the first row is all 1.

    All 2^count flips, or for more than 13 signs a random sample.
    """
    if count <= ALL_FLIPS:
        return np.array(list(itertools.product([1.0, -1.0], repeat=count)))
    flips = np.random.default_rng(0).choice([1.0, -1.0], (SAMPLED_FLIPS, count))
    flips[0] = 1
    return flips


def mcnemar(reference: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """Compare two fitted models on the same images by McNemar's exact test.

    Args:
        reference, other: (images,) booleans of correct answers.

    Returns:
        How many images only the reference and only the other has right, and the two-sided p-value.
    """
    only_reference, only_other = int((reference & ~other).sum()), int((other & ~reference).sum())
    return only_reference, only_other, sign_test(only_reference, only_other)


def sign_test(fewer: int, more: int) -> float:
    """Return the exact two-sided p-value of equally likely outcomes; 1 if there are none."""
    return float(stats.binomtest(fewer, fewer + more).pvalue) if fewer + more else 1.0
