"""Is one network better than the other, by how much, and how sure is that?

Pure functions of correct answers and of differences by seed. They answer three questions:

- About the two *fitted models* of one seed: their answers on the same test images are paired, so
  McNemar's test applies.
- About the two *methods* on these test images: another seed would give other models. The seeds are
  the sample, paired across the networks: Student's t over their differences gives the interval,
  flips of the differences' signs give the p-value.
- About the methods on other test images of the same kind: the images are a sample too, and their
  variance is added to that of the seeds.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

SEEDS_NEEDED = 6  # the smallest two-sided p of n sign flips is 2 / 2^n: 0.0625 for 5, 0.03125 for 6
LEVEL = 0.05
CONFIDENCE = 0.95
ALL_FLIPS = 13  # up to this many seeds, all 2^n sign flips are enumerated
SAMPLED_FLIPS = 10_000  # for more seeds, this many random ones, among them the data's own


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


@dataclass(frozen=True)
class Comparison:
    """The difference in accuracy of two methods, other minus reference, from -1 to 1.

    Attributes:
        difference: mean and interval over the paired seeds, on these test images. With a single
            seed: over the test images, for these two fitted models.
        new_images: mean and interval for other test images too; None for a single seed.
        image_error: the standard error that the choice of test images adds, for any number of
            seeds; 0 for a single seed.
        by_seed: the difference of each seed.
        p_value: two-sided, from sign flips over the seeds, on these test images.
        tests: for how many comparisons the p-value is adjusted.
    """

    difference: Interval
    new_images: Interval | None
    image_error: float
    by_seed: dict[int, float]
    p_value: float
    tests: int = 1

    @property
    def seeds(self) -> int:
        """How many seeds are paired."""
        return len(self.by_seed)

    @property
    def spread(self) -> float:
        """The standard deviation of the seeds' differences; NaN for a single seed."""
        values = list(self.by_seed.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    @property
    def images_dominate(self) -> bool:
        """Whether the test images add more to the uncertainty about other images than the seeds."""
        return self.seeds > 1 and self.image_error > self.spread / self.seeds**0.5

    @property
    def covers_images(self) -> bool:
        """Whether the interval over the seeds is wide enough for other test images too."""
        bounds = [(found.low, found.high) for found in (self.difference, self.new_images) if found]
        return len(set(bounds)) == 1

    @property
    def enough_seeds(self) -> bool:
        """Whether the p-value could fall below 0.05 at all."""
        return self.seeds >= SEEDS_NEEDED

    @property
    def smallest_p(self) -> float:
        """The p-value's floor."""
        return smallest_p(self.seeds)

    @property
    def significant(self) -> bool:
        """Whether there is evidence of a difference: p below 0.05 and an interval without 0."""
        return self.enough_seeds and self.p_value < LEVEL and self.difference.excludes_zero


def compare(reference: np.ndarray, other: np.ndarray, seeds: list[int]) -> Comparison:
    """Compare (seeds, images) booleans of correct answers, paired in both dimensions.

    >>> reference, other = np.zeros((6, 100), bool), np.zeros((6, 100), bool)
    >>> other[:, :10] = True  # ten images more, with each of six seeds
    >>> found = compare(reference, other, seeds=[0, 1, 2, 3, 4, 5])
    >>> round(found.difference.mean, 2), found.p_value, found.significant
    (0.1, 0.03125, True)
    """
    paired = paired_differences(reference, other)
    by_seed = paired.mean(axis=1)
    several = len(seeds) > 1
    return Comparison(
        interval(paired),
        crossed_interval(paired) if several else None,
        variances_of_mean(paired)[1] ** 0.5 if several else 0.0,
        dict(zip(seeds, by_seed.tolist(), strict=True)),
        # Whole numbers of images have exact sums; rounding would otherwise break ties of flips.
        sign_flip_p_value(paired.sum(axis=1)),
    )


def paired_differences(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return -1, 0 or 1 per seed and image: the other's correctness minus the reference's."""
    return other.astype(np.int8) - reference.astype(np.int8)


def interval(values: np.ndarray) -> Interval:
    """Return the mean of (seeds, images) values with its 95 % interval.

    Student's t over the means of the seeds; with a single seed, over the images.
    """
    return t_interval(values.mean(axis=1) if len(values) > 1 else values[0])


def t_interval(values: np.ndarray) -> Interval:
    """Return the mean of (n,) independent values with Student's t interval; NaN bounds for n = 1.

    >>> found = t_interval(np.array([5.46, 7.06, 8.70]))
    >>> round(found.low, 1), round(found.high, 1)
    (3.0, 11.1)
    """
    if len(values) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))
    variance = float(np.var(values, ddof=1)) / len(values)
    return _around(float(values.mean()), variance, len(values) - 1)


def pooled_half(values: np.ndarray) -> float:
    """Return half the width of a 95 % interval of a difference between two arms' means.

    The variance is what seeds and arms together leave unexplained, pooled over all arms, as in a
    two-way analysis of variance: it assumes that all arms vary alike from seed to seed.

    Args:
        values: (seeds, arms), at least two of each.
    """
    seeds, arms = values.shape
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    freedom = (seeds - 1) * (arms - 1)
    variance = float((rest**2).sum()) / freedom * 2 / seeds
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5


def crossed_interval(values: np.ndarray) -> Interval:
    """Return the mean of (seeds, images) values with an interval for other seeds and images.

    The variance of the mean is the seeds' part plus the images' part (see variances_of_mean), with
    Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946). With few seeds this interval
    could by chance be narrower than the one for other seeds alone; it is then widened to that one.
    Needs at least two seeds.
    """
    seeds, images = values.shape
    seed_part, image_part = variances_of_mean(values)
    spread = seed_part**2 / (seeds - 1) + image_part**2 / max(images - 1, 1)
    freedom = (seed_part + image_part) ** 2 / spread if spread > 0 else seeds - 1
    both = _around(float(values.mean()), seed_part + image_part, freedom)
    seeds_alone = interval(values)
    return Interval(both.mean, min(both.low, seeds_alone.low), max(both.high, seeds_alone.high))


def variances_of_mean(values: np.ndarray) -> tuple[float, float]:
    """Return how much seeds and images each add to the variance of the mean of the values.

    Two-way random effects, (seeds, images) crossed: how an image varies from seed to seed belongs
    to the seeds' part and is subtracted from the images' part, which is at least zero.
    """
    seeds, images = values.shape
    of_seeds, of_images, grand = values.mean(axis=1), values.mean(axis=0), values.mean()
    total = float((values.astype(np.float32) ** 2).sum()) - seeds * images * grand**2
    between_seeds = images * float(((of_seeds - grand) ** 2).sum())
    between_images = seeds * float(((of_images - grand) ** 2).sum())
    rest = max(0.0, total - between_seeds - between_images)
    residual = rest / max((seeds - 1) * (images - 1), 1)
    seed_part = between_seeds / (seeds - 1) / (seeds * images)
    image_part = (between_images / max(images - 1, 1) - residual) / (seeds * images)
    return seed_part, max(0.0, image_part)


def _around(mean: float, variance: float, freedom: float) -> Interval:
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5
    return Interval(mean, mean - half, mean + half)


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


def adjusted_p_values(differences: Sequence[Mapping[int, int]]) -> list[float]:
    """Return max-T p-values of contrasts that may have different seeds.

    The signs of all seeds are flipped together; a seed that a contrast lacks adds nothing to its
    statistic.

    Args:
        differences: each contrast's difference in correct images, by seed.
    """
    seeds = sorted(set().union(*differences))
    rows = [[contrast.get(seed, 0) for contrast in differences] for seed in seeds]
    return max_t_p_values(np.array(rows)).tolist() if rows else []


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


def compare_classes(
    reference: np.ndarray, other: np.ndarray, labels: np.ndarray, names: list[str]
) -> pd.DataFrame:
    """Compare (seeds, images) booleans of correct answers class by class.

    Returns:
        A row per class that has test images, sorted by difference: class; the difference of the
        accuracies in percent; how many images the other has right in fewer (`worse`) and in more
        seeds (`better`); the p-value of a sign test over these; and `significant`, at a false
        discovery rate of 5 % over all classes (Benjamini and Hochberg). The tests are about these
        fitted models only.
    """
    votes = other.sum(axis=0) - reference.sum(axis=0)
    images = pd.DataFrame(
        {
            "class": np.array(names)[labels],
            "difference": 100.0 * votes / len(other),
            "worse": votes < 0,
            "better": votes > 0,
        }
    )
    found = images.groupby(labels).agg(
        {"class": "first", "difference": "mean", "worse": "sum", "better": "sum"}
    )
    counts = zip(found["worse"], found["better"], strict=True)
    found["p"] = [sign_test(int(worse), int(better)) for worse, better in counts]
    found["significant"] = stats.false_discovery_control(found["p"]) < LEVEL
    return found.sort_values("difference", kind="stable", ignore_index=True)
