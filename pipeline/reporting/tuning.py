"""The page of a tuning: the best validation accuracy to expect after k trials of each network."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import special, stats

from pipeline.evaluation.plots import colour_of
from pipeline.reporting.formats import counted
from pipeline.reporting.intervals import CONFIDENCE
from pipeline.reporting.page import Page
from pipeline.reporting.section import Drawing, Section

CURVE_NOTE = (
    "*Expected*: the mean of the best validation accuracy of k trials drawn from these, without "
    "replacement (Dodge et al. 2019, in the unbiased form of Tang et al. 2020). *95 % interval*: "
    "of the median best of k trials, by order statistics, which assumes only that the trials are "
    "independent. Where so few trials give no bound, it is open, and reaches the figure's edge. "
    "The accuracy of the best trial is too optimistic, because the trial was chosen by it."
)
TRIALS_ABOUT = "Each trial's values and validation accuracy, in percent, in the order drawn."
NO_RESULT = "none"
UNFINISHED = "Trials that diverged, or have no result yet, count as 0 %"
EDGE = 1.0  # points between the worst or best trial and the figure's edge


class Tuned(NamedTuple):
    """A network's trials.

    Attributes:
        network: its display name.
        scores: (n,) validation accuracy of each trial, 0 to 1; 0 for one without a result.
    """

    network: str
    scores: np.ndarray

    @property
    def best(self) -> int:
        """The number of the best trial, from 0; the first at a tie."""
        return int(self.scores.argmax())

    @property
    def missing(self) -> int:
        """How many trials have no result."""
        return int((self.scores == 0).sum())


def expected_best(scores: np.ndarray) -> np.ndarray:
    """Return the expected maximum of k of the (n,) scores, for k from 1 to n.

    Over all subsets of size k, so that it is unbiased for k new trials. Dodge et al.
    (arXiv 1909.03004) draw with replacement, which underestimates it (Tang et al., ACL 2020).

    >>> expected_best(np.array([1.0, 2.0, 4.0])).round(2).tolist()
    [2.33, 3.33, 4.0]
    """
    ranks, sizes = np.arange(1, len(scores) + 1), np.arange(1, len(scores) + 1)[:, np.newaxis]
    # The share of subsets of size k whose largest member has this rank.
    shares = special.comb(ranks - 1, sizes - 1) / special.comb(len(scores), sizes)
    return shares @ np.sort(scores)


def median_best_interval(scores: np.ndarray, k: int) -> tuple[float, float]:
    """Return a 95 % interval of the median of the best of k trials; NaN where it is open.

    That median is a quantile of the scores, so order statistics bound it for any distribution.

    Args:
        scores: (n,) of independent trials.
    """
    found = stats.quantile_test(scores, p=0.5 ** (1 / k)).confidence_interval(CONFIDENCE)
    return found.low, found.high


def make_page(tuned: list[Tuned], trials: list[dict[str, Any]], conclusion: str) -> Page:
    """Make the page of a tuning.

    Args:
        tuned: each network with the scores of the same trials.
    """
    missing = [f"{t.network}: {counted(t.missing, 'trial')}" for t in tuned if t.missing]
    drawing = Drawing("tuning", plot_curves(tuned), "Best validation accuracy against trials")
    return Page(
        "Tuning",
        conclusion,
        [],
        [f"{UNFINISHED} ({'; '.join(missing)})."] if missing else [],
        [drawing, curve_table(tuned), CURVE_NOTE],
        [Section("All trials", TRIALS_ABOUT, [trials_table(tuned, trials)])],
    )


def curve_table(tuned: list[Tuned]) -> pd.DataFrame:
    """Return, for each number of trials, each network's expected best and interval, in percent."""
    table = pd.DataFrame({"trials": range(1, len(tuned[0].scores) + 1)}).set_index("trials")
    for network, scores in tuned:
        table[f"{network}, expected, %"] = [f"{100 * v:.1f}" for v in expected_best(scores)]
        table[f"{network}, 95 % interval"] = [
            _described(*median_best_interval(scores, k)) for k in table.index
        ]
    return table


def _described(low: float, high: float) -> str:
    if np.isnan(low):
        return "open" if np.isnan(high) else f"up to {100 * high:.1f}"
    return f"from {100 * low:.1f}" if np.isnan(high) else f"{100 * low:.1f} to {100 * high:.1f}"


def trials_table(tuned: list[Tuned], trials: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a row per trial: its values, and each network's score in percent."""
    table = pd.DataFrame([{k: str(v) for k, v in trial.items()} for trial in trials])
    for network, scores in tuned:
        table[network] = [f"{100 * score:.1f}" if score else NO_RESULT for score in scores]
    return table.set_axis(pd.RangeIndex(1, len(trials) + 1, name="trial"))


def plot_curves(tuned: list[Tuned]) -> Figure:
    """Plot the expected best against the number of trials, with the intervals.

    An interval that is open reaches the figure's edge.
    """
    figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    known = 100 * np.concatenate([scores for _, scores in tuned])
    bottom, top = known.min() - EDGE, known.max() + EDGE
    for network, scores in tuned:
        k, colour = range(1, len(scores) + 1), colour_of(network)
        bounds = 100 * np.array([median_best_interval(scores, size) for size in k])
        low, high = np.where(np.isnan(bounds), [bottom, top], bounds).T
        axis.plot(k, 100 * expected_best(scores), color=colour, label=network)
        axis.fill_between(k, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="trials", ylabel="best validation accuracy, %", ylim=(bottom, top))
    axis.legend()
    return figure
