"""The power of the report's verdict: which difference a number of paired seeds can show.

Differences are in units of the spread (standard deviation) of the seeds' differences.
"""

from functools import cache

import numpy as np
from scipy import optimize, stats

from pipeline.reporting.intervals import CONFIDENCE
from pipeline.reporting.p_values import SEEDS_NEEDED

POWER = 0.8
# The smallest differences, in spreads, that get a verdict with 80 % power, by simulation as in
# test_power.py: p-values of sign flips are coarse. From ten seeds on, Student's t is within 1 %.
SIMULATED = {6: 1.80, 7: 1.35, 8: 1.21, 9: 1.10}


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


@cache
def smallest_t_ratio(seeds: int) -> float:
    """Return the smallest difference, in spreads, whose interval excludes 0 with 80 % power."""
    return float(optimize.brentq(lambda r: t_power(r, seeds) - POWER, 1e-3, 20, xtol=1e-4))


def smallest_of_images(error: float) -> float:
    """Return the smallest difference, also on other images, that unlimited seeds show.

    With 80 % power. More seeds reduce the uncertainty from seeds, but not that from the images.

    Args:
        error: the standard error that the choice of images adds.
    """
    return float(error * (stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)))


def smallest_verdict_ratio(seeds: int) -> float | None:
    """Return the smallest difference, in spreads, that gets a verdict with 80 % power.

    A verdict needs an interval without zero and p below 0.05. None for fewer than six seeds, which
    never give a verdict.
    """
    if seeds < SEEDS_NEEDED:
        return None
    return SIMULATED.get(seeds) or smallest_t_ratio(seeds)


def spread_interval(spread: float, seeds: int) -> tuple[float, float]:
    """Return the 95 % chi-squared interval of a standard deviation measured over `seeds` seeds."""
    freedom, tail = seeds - 1, (1 - CONFIDENCE) / 2
    low, high = stats.chi2.ppf([1 - tail, tail], freedom)
    return float(spread * (freedom / low) ** 0.5), float(spread * (freedom / high) ** 0.5)
