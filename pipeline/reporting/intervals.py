"""Intervals of means over seeds, over images and over both."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0

    def of_accuracy(self) -> "Interval":
        """Return the interval clipped to 0..1; near these Student's t can go beyond them."""
        low, high = np.clip([self.low, self.high], 0.0, 1.0)
        return Interval(self.mean, float(low), float(high))


def interval(values: np.ndarray) -> Interval:
    """Return the mean of (seeds, images) values with its 95 % interval.

    Student's t over the means of the seeds; with a single seed, over the images.
    """
    if len(values) == 1:
        return t_interval(values[0])
    # Whole numbers of images have exact sums, so differences that add up to 0 have the mean 0.
    of_seeds, images = t_interval(values.sum(axis=1)), values.shape[1]
    return Interval(of_seeds.mean / images, of_seeds.low / images, of_seeds.high / images)


def t_interval(values: np.ndarray) -> Interval:
    """Return the mean of (n,) independent values with Student's t interval; NaN bounds for n = 1.

    >>> found = t_interval(np.array([5.46, 7.06, 8.70]))
    >>> round(found.low, 1), round(found.high, 1)
    (3.0, 11.1)
    """
    if len(values) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))
    return _around(float(values.mean()), spread(values) ** 2 / len(values), len(values) - 1)


def spread(values: np.ndarray) -> float:
    """Return the standard deviation of (n,) values; exactly 0 if all are equal; NaN for n = 1."""
    # The mean of equal values may differ from them by a rounding error.
    deviations = values.astype(float) - values[0]
    return float(np.std(deviations, ddof=1)) if len(values) > 1 else float("nan")


def pooled_half(values: np.ndarray) -> float:
    """Return half the width of a 95 % interval of a difference between two arms' means.

    The variance is what seeds and arms together leave unexplained, pooled over all arms, as in a
    two-way analysis of variance: it assumes that all arms vary alike from seed to seed.

    Args:
        values: (seeds, arms), at least two of each.
    """
    seeds, arms = values.shape
    variance = residual_variance(values) * 2 / seeds
    freedom = (seeds - 1) * (arms - 1)
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5


def residual_variance(values: np.ndarray) -> float:
    """Return the variance that rows and columns leave unexplained in a table of at least 2 x 2."""
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    rows, columns = values.shape
    return float((rest**2).sum()) / ((rows - 1) * (columns - 1))


def crossed_interval(values: np.ndarray) -> Interval:
    """Return the mean of (seeds, images) values with an interval for other seeds and images.

    The variance of the mean is the seeds' part plus the images' part (see variances_of_mean), with
    Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946). With few seeds this interval
    could by chance be narrower than the one for other seeds alone; it is then widened to that one.
    Needs at least two seeds.
    """
    seeds, images = values.shape
    seed_part, image_part = variances_of_mean(values)
    squares = seed_part**2 / (seeds - 1) + image_part**2 / max(images - 1, 1)
    freedom = (seed_part + image_part) ** 2 / squares if squares > 0 else seeds - 1
    both = _around(float(values.mean()), seed_part + image_part, freedom)
    seeds_alone = interval(values)
    return Interval(both.mean, min(both.low, seeds_alone.low), max(both.high, seeds_alone.high))


def variances_of_mean(values: np.ndarray) -> tuple[float, float]:
    """Return how much seeds and images each add to the variance of the mean of the values.

    Two-way random effects, (seeds, images) crossed: how an image varies from seed to seed belongs
    to the seeds' part and is subtracted from the images' part, which is at least zero.
    """
    seeds, images = values.shape
    seed_part = float(values.mean(axis=1).var(ddof=1)) / seeds
    if images < 2:
        return seed_part, 0.0
    of_images = float(values.mean(axis=0).var(ddof=1))
    return seed_part, max(0.0, of_images - residual_variance(values) / seeds) / images


def _around(mean: float, variance: float, freedom: float) -> Interval:
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5
    return Interval(mean, mean - half, mean + half)
