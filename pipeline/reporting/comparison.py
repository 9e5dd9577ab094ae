"""Is one network better than the other, by how much, and how sure is that?

Two different questions. About the two *fitted models* of one seed: their answers on the same test
images are paired, which McNemar's test uses. About the two *methods*: another seed would give
other models, so that the seeds, paired across the networks, are what is sampled; a permutation
test over them gives the p-value, and a bootstrap of seeds and images the interval.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

SEEDS_NEEDED = 6  # the smallest two-sided p of n sign flips is 2 / 2^n: 0.0625 for 5, 0.03125 for 6
LEVEL = 0.05
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The difference of two methods in accuracy, the other minus the reference, from -1 to 1.

    Attributes:
        difference: over paired seeds and test images.
        by_seed: of each seed.
        p_value: two-sided, of sign flips over the seeds.
    """

    difference: Interval
    by_seed: dict[int, float]
    p_value: float

    @property
    def enough_seeds(self) -> bool:
        """Whether the p-value could fall below 0.05 at all."""
        return len(self.by_seed) >= SEEDS_NEEDED

    @property
    def significant(self) -> bool:
        """Whether there is evidence of a difference: p below 0.05 and an interval without 0."""
        excludes_zero = self.difference.low > 0 or self.difference.high < 0
        return self.enough_seeds and self.p_value < LEVEL and excludes_zero


def compare(reference: np.ndarray, other: np.ndarray, seeds: list[int], samples: int) -> Comparison:
    """Compare (seeds, images) booleans of correct answers, paired in both dimensions.

    Args:
        samples: how many bootstrap samples are behind the interval.

    >>> reference, other = np.zeros((6, 100), bool), np.zeros((6, 100), bool)
    >>> other[:, :10] = True  # ten images more, with each of six seeds
    >>> found = compare(reference, other, seeds=[0, 1, 2, 3, 4, 5], samples=1000)
    >>> round(found.difference.mean, 2), found.p_value, found.significant
    (0.1, 0.03125, True)
    """
    differences = other.astype(float) - reference
    by_seed = differences.mean(axis=1)
    # In whole images, whose sums are exact: flips that tie would else depend on the seeds' order.
    p_value = sign_flip_p_value(differences.sum(axis=1))
    return Comparison(
        interval(differences, samples),
        dict(zip(seeds, by_seed.tolist(), strict=True)),
        p_value,
    )


def interval(values: np.ndarray, samples: int) -> Interval:
    """Return the mean of (seeds, images) values with its 95 % hierarchical bootstrap interval."""
    means = hierarchical_bootstrap(values, samples)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def hierarchical_bootstrap(values: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """Return the means, (samples,), of resampled seeds and, independently, images.

    Each sample takes as many seeds, and the same resampled images for all of them: they all saw
    the same test set. Images with the same values in all seeds are exchangeable, so it is enough
    to draw how often each pattern of values comes up.

    Args:
        values: (seeds, images).
    """
    rng = np.random.default_rng(seed)
    seeds, images = values.shape
    patterns, counts = np.unique(values, axis=1, return_counts=True)
    drawn_images = rng.multinomial(images, counts / images, size=samples)
    drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=samples)
    return ((drawn_seeds @ patterns) * drawn_images).sum(axis=1) / (seeds * images)


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Return the two-sided p-value of paired differences, by all flips of their signs.

    Under the null hypothesis that the two methods are alike, each difference is as likely as its
    opposite. Beyond 13 seeds the flips are sampled. A single one says nothing: 1.
    """
    if len(differences) < 2:
        return 1.0
    result = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9_999, axis=0, rng=0
    )
    return min(1.0, float(result.pvalue))


def mcnemar(reference: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """Compare two fitted models on the same images by McNemar's exact test.

    Args:
        reference, other: (images,) booleans of correct answers.

    Returns:
        How many images only the reference, and only the other has right, and the two-sided p.
    """
    only_reference, only_other = int((reference & ~other).sum()), int((other & ~reference).sum())
    return only_reference, only_other, sign_test(only_reference, only_other)


def sign_test(fewer: int, more: int) -> float:
    """Return the exact two-sided p-value that both outcomes are equally likely; 1 for none."""
    return float(stats.binomtest(fewer, fewer + more).pvalue) if fewer + more else 1.0


def compare_classes(
    reference: np.ndarray, other: np.ndarray, labels: np.ndarray, names: list[str]
) -> pd.DataFrame:
    """Compare (seeds, images) booleans of correct answers class by class.

    Returns:
        A row for each class with test images, by difference: class, accuracy of both and their
        difference in percent, the p-value of a sign test over the images that the two have right
        in a different number of seeds, and `significant`, where the false discovery rate over
        all classes is held at 5 % (Benjamini and Hochberg). It speaks of these fitted models.
    """
    votes = other.sum(axis=0) - reference.sum(axis=0)
    table = pd.DataFrame(
        {
            "label": labels,
            "reference": 100.0 * reference.mean(axis=0),
            "other": 100.0 * other.mean(axis=0),
            "worse": votes < 0,
            "better": votes > 0,
        }
    )
    by_class = table.groupby("label").agg(
        reference=("reference", "mean"),
        other=("other", "mean"),
        worse=("worse", "sum"),
        better=("better", "sum"),
    )
    by_class.insert(0, "class", np.array(names)[by_class.index])
    by_class["difference"] = by_class["other"] - by_class["reference"]
    by_class["p"] = [
        sign_test(int(row.worse), int(row.better)) for row in by_class.itertuples(index=False)
    ]
    by_class["significant"] = stats.false_discovery_control(by_class["p"]) < LEVEL
    kept = ["class", "reference", "other", "difference", "p", "significant"]
    return by_class[kept].sort_values("difference", kind="stable", ignore_index=True)
