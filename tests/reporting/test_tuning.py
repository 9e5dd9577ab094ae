import itertools
import re

import numpy as np
import pytest

from pipeline.reporting.page import render_markdown
from pipeline.reporting.tuning import (
    Tuned,
    curve_table,
    expected_best,
    make_page,
    median_best_interval,
    plot_curves,
)

SCORES = np.array([0.31, 0.52, 0.0, 0.52, 0.47, 0.12, 0.55])


def test_the_expected_best_is_the_mean_over_all_subsets():
    expected = [
        np.mean([max(subset) for subset in itertools.combinations(SCORES, size)])
        for size in range(1, len(SCORES) + 1)
    ]
    assert expected_best(SCORES) == pytest.approx(expected)


def test_few_trials_bound_the_best_of_many_from_below_only():
    low, high = median_best_interval(np.arange(16.0), 16)
    assert low > 8
    assert np.isnan(high)


def test_an_open_interval_reaches_the_edge_of_the_figure():
    (axis,) = plot_curves([Tuned("resnet", np.linspace(0.4, 0.6, 16))]).axes
    (band,) = axis.collections
    highest = band.get_paths()[0].vertices[:, 1].max()
    assert axis.get_ylim() == (39.0, 61.0)
    assert highest == 61.0  # the best of 16 trials has no upper bound
    assert axis.lines[0].get_ydata().max() == pytest.approx(60.0)


def test_the_page_has_the_curve_and_each_trial():
    tuned = [Tuned("baseline", SCORES), Tuned("resnet", SCORES + 0.1)]
    trials = [{"learning_rate": 0.01 * i} for i in range(len(SCORES))]
    page = make_page(tuned, trials, "Said.")
    assert page.warnings == [
        "Trials that diverged, or have no result yet, count as 0 % (baseline: 1 trial)."
    ]
    table = curve_table(tuned)
    assert table.loc[7, "resnet, expected, %"] == "65.0"
    assert table.loc[7, "baseline, 95 % interval"].startswith("from ")
    (section,) = page.sections
    assert section.parts[0].loc[3].tolist() == ["0.02", "none", "10.0"]
    assert tuned[0].best == 6
    assert re.search(r"^\| +7 \|", render_markdown(page), re.MULTILINE)
