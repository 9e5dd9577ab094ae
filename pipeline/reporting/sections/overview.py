"""The start of the page: one figure and one table."""

import pandas as pd

from pipeline.reporting.curves import EPOCH, draw_curves
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import (
    COMPUTE,
    MINUTES,
    PARAMETERS,
    PERCENT,
    Rows,
    listed,
    side_by_side,
)
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part
from pipeline.reporting.sections.difference import plot_seeds, seed_accuracies

ROWS: Rows = {
    "test accuracy, %": ("best_test_accuracy", *PERCENT),
    "test balanced accuracy, %": ("best_test_balanced_accuracy", *PERCENT),
    "test accuracy with mirror images, %": ("best_test_flip_accuracy", *PERCENT),
    "validation accuracy, %": ("best_val_accuracy", *PERCENT),
    "test loss, nats": ("best_test_loss", "{:.3f}".format, 1),
    "parameters": PARAMETERS,
    "training compute": COMPUTE,
    "minutes of training": MINUTES,
}


def make(findings: Findings) -> list[Part]:
    """Return the figure and the table."""
    results = findings.results
    if not compares_seeds(findings):
        return [*draw_curves(results, "accuracy", EPOCH), key_table(results)]
    shown = [results.reference, *findings.comparisons]
    alt = f"Test accuracy of each seed, {listed(shown)}"
    figure = plot_seeds(seed_accuracies(results, shown))
    return [Drawing("seeds", figure, alt), key_table(results)]


def compares_seeds(findings: Findings) -> bool:
    """Whether there are seeds to draw side by side; if not, the curves come first."""
    return any(comparison.seeds > 1 for comparison in findings.comparisons.values())


def key_table(results: Results) -> pd.DataFrame:
    """Return the most important numbers, one column per network."""
    return side_by_side(results, ROWS)
