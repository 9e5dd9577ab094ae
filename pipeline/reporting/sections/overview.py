"""The start of the page: one figure and one table."""

import pandas as pd

from pipeline.reporting.curves import EPOCH, draw_curves
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import describe_seeds, listed
from pipeline.reporting.section import Drawing, Part
from pipeline.reporting.sections.difference import plot_seeds, seed_accuracies
from pipeline.reporting.sections.summary import summary_table

# Rows of the table of all scores.
KEY = (
    "test accuracy, %",
    "test balanced accuracy, %",
    "test accuracy with mirror images, %",
    "validation accuracy, %",
    "test loss",
    "parameters",
    "training compute",
    "training time, minutes",
)


def make(findings: Findings) -> list[Part]:
    """Return the figure and the table."""
    results = findings.results
    table = [key_table(findings), describe_seeds(results.seeds)]
    if not compares_seeds(findings):
        return [*draw_curves(results, "accuracy", EPOCH), *table]
    shown = [results.reference, *findings.comparisons]
    alt = f"Test accuracy of each seed, {listed(shown)}"
    figure = plot_seeds(seed_accuracies(results, shown))
    return [Drawing("seeds", figure, alt), *table]


def compares_seeds(findings: Findings) -> bool:
    """Whether there are seeds to draw side by side; if not, the curves come first."""
    return any(comparison.seeds > 1 for comparison in findings.comparisons.values())


def key_table(findings: Findings) -> pd.DataFrame:
    """Return the most important numbers, one column per network."""
    table = summary_table(findings.results, findings.params.evaluate.top_k)
    return table.loc[[row for row in KEY if row in table.index]]
