"""Are two methods alike, within a margin that was declared before the results were seen?

Two one-sided tests, paired over the seeds: the methods are alike if both "better by more than the
margin" and "worse by more than the margin" are rejected (Schuirmann 1987).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.reporting.comparison import Comparison
from pipeline.reporting.p_values import LEVEL


@dataclass(frozen=True)
class Equivalence:
    """How sure it is that two methods differ by less than a margin, on these test images.

    Attributes:
        margin: in points of accuracy.
        better, worse: the probabilities that the other method is better, or worse, than the
            reference by more than the margin. They are the p-values of the two one-sided t-tests,
            and with a flat prior the posterior probabilities (Benavoli et al. 2017).
        enough_seeds: whether there are as many seeds as any verdict needs.
    """

    margin: float
    better: float
    worse: float
    enough_seeds: bool

    @property
    def points(self) -> str:
        """The margin in words, like `0.5 points`."""
        return f"{self.margin:g} point{'' if self.margin == 1 else 's'}"

    @property
    def p_value(self) -> float:
        """The larger p-value of the two tests."""
        return max(self.better, self.worse)

    @property
    def alike(self) -> bool:
        """Whether both tests reject."""
        return self.enough_seeds and self.p_value < LEVEL


def equivalence(comparison: Comparison, margin: float) -> Equivalence | None:
    """Test whether two methods differ by less than `margin` points.

    None for a single seed, and if all seeds have the same difference: their spread is not known.

    >>> from pipeline.reporting.intervals import Interval
    >>> by_seed = {0: 0.004, 1: -0.002, 2: 0.001, 3: -0.003, 4: 0.002, 5: 0.0}
    >>> found = equivalence(Comparison(Interval(0, 0, 0), None, 0.0, by_seed, 1.0), margin=1.0)
    >>> round(found.better, 4), round(found.worse, 4), found.alike
    (0.0001, 0.0001, True)
    """
    if not comparison.spread > 0:
        return None
    points = 100 * np.array(list(comparison.by_seed.values()))
    error = 100 * comparison.spread / len(points) ** 0.5
    better, worse = stats.t.sf(
        (margin + points.mean() * np.array([-1, 1])) / error, len(points) - 1
    )
    return Equivalence(margin, float(better), float(worse), comparison.enough_seeds)
