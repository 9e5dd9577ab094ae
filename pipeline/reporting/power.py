"""The power of the report's verdict: which difference a number of paired seeds can show.

Differences are in units of the spread (standard deviation) of the seeds' differences.
"""

from functools import cache

import numpy as np
from scipy import optimize, stats

from pipeline.reporting.comparison import CONFIDENCE, LEVEL, SEEDS_NEEDED, sign_flips

POWER = 0.8
SIMULATED = 12  # up to this many seeds sign flips are simulated; for more, Student's t is used
DRAWS = 2_000


def t_power(ratio: float, seeds: int) -> float:
    """Return the probability that the t interval excludes zero.

    Computed with the noncentral t distribution.

    Args:
        ratio: the true difference divided by the spread of the seeds' differences.
    """
    freedom, shift = seeds - 1, abs(ratio) * seeds**0.5
    critical = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    # SciPy's noncentral t can be NaN far out, where these are practically 1 and 0.
    above = np.nan_to_num(stats.nct.sf(critical, freedom, shift), nan=1.0)
    below = np.nan_to_num(stats.nct.cdf(-critical, freedom, shift), nan=0.0)
    return float(above + below)


def verdict_power(ratio: float, seeds: int) -> float:
    """Return the probability of a verdict: the interval excludes zero and p is below 0.05.

    Up to 12 seeds the sign flips, whose p-values are coarse, are simulated with normal differences.
    """
    if seeds < SEEDS_NEEDED:
        return 0.0
    if seeds > SIMULATED:
        return t_power(ratio, seeds)
    draws = _normal_draws(seeds) + abs(ratio)
    sums = np.abs(sign_flips(seeds) @ draws)
    p_values = (sums >= sums[0] - 1e-9).mean(axis=0)
    t = draws.mean(axis=0) / (draws.std(axis=0, ddof=1) / seeds**0.5)
    outside = np.abs(t) > stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)
    return float(((p_values < LEVEL) & outside).mean())


@cache
def _normal_draws(seeds: int) -> np.ndarray:
    """Return (seeds, draws) standard normal numbers, the same in each call."""
    return np.random.default_rng(0).normal(size=(seeds, DRAWS))


@cache
def smallest_t_ratio(seeds: int) -> float:
    """Return the smallest difference, in spreads, whose interval excludes 0 with 80 % power."""
    return float(optimize.brentq(lambda r: t_power(r, seeds) - POWER, 1e-3, 20, xtol=1e-4))


def smallest_of_images(error: float) -> float:
    """Return the smallest difference that even unlimited seeds show for other images too.

    With 80 % power. More seeds remove only the seeds' part of the uncertainty; the images' remains.

    Args:
        error: the standard error that the choice of images adds.
    """
    return float(error * (stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)))


@cache
def smallest_verdict_ratio(seeds: int) -> float | None:
    """Return the smallest difference, in spreads, that gets a verdict with 80 % power.

    None for fewer than six seeds, which never give a verdict.
    """
    if seeds < SEEDS_NEEDED:
        return None
    if seeds > SIMULATED:
        return smallest_t_ratio(seeds)
    low, high = 0.0, 5.0  # a simulated power is not smooth, so bisect
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if verdict_power(middle, seeds) >= POWER else (middle, high)
    return high


def spread_interval(spread: float, seeds: int) -> tuple[float, float]:
    """Return the 95 % chi-squared interval of a standard deviation measured over `seeds` seeds."""
    freedom, tail = seeds - 1, (1 - CONFIDENCE) / 2
    low, high = stats.chi2.ppf([1 - tail, tail], freedom)
    return float(spread * (freedom / low) ** 0.5), float(spread * (freedom / high) ** 0.5)
