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

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.reporting.intervals import (
    Interval,
    crossed_interval,
    interval,
    spread,
    variances_of_mean,
)
from pipeline.reporting.p_values import (
    LEVEL,
    SEEDS_NEEDED,
    is_significant,
    sign_flip_p_value,
    sign_test,
    smallest_p,
)


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
        return spread(np.array(list(self.by_seed.values())))

    @property
    def images_dominate(self) -> bool:
        """Whether the test images add more to the uncertainty about other images than the seeds."""
        return self.seeds > 1 and self.image_error > self.spread / self.seeds**0.5

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
        """Whether there is evidence of a difference."""
        return is_significant(self.p_value, self.difference)


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


def compare_classes(
    reference: np.ndarray, other: np.ndarray, labels: np.ndarray, names: list[str]
) -> pd.DataFrame:
    """Compare (seeds, images) booleans of correct answers class by class.

    Returns:
        A row per class that has test images, sorted by difference: class; the difference of the
        accuracies in percent; how many images the other has right in fewer (`worse`) and in more
        seeds (`better`); the p-value of a sign test over these; and `significant`, at a false
        discovery rate of 5 % over all classes (Benjamini and Hochberg), if the difference has the
        same sign. The tests are about these fitted models only.
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
    same_sign = (found["better"] - found["worse"]) * found["difference"] > 0
    found["significant"] = (stats.false_discovery_control(found["p"]) < LEVEL) & same_sign
    return found.sort_values("difference", kind="stable", ignore_index=True)
