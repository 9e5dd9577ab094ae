"""The start of the page: one table and two figures."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.records import SPLIT_NAMES
from pipeline.evaluation.plots import colours
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import PFLOP, Rows, listed, side_by_side
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part
from pipeline.reporting.sections.difference import plot_seeds, seed_accuracies

ROWS: Rows = {
    "test accuracy, %": ("best_test_accuracy", "{:.1f}", 100),
    "test accuracy with mirror images, %": ("best_test_flip_accuracy", "{:.1f}", 100),
    "validation accuracy, %": ("best_val_accuracy", "{:.1f}", 100),
    "test loss, nats": ("best_test_loss", "{:.3f}", 1),
    "parameters": ("parameters", "{:,.0f}", 1),
    "training compute, PFLOP": PFLOP,
    "minutes of training": ("training_seconds", "{:,.1f}", 1 / 60),
}


def make(findings: Findings) -> list[Part]:
    """Return the table and the figures."""
    results = findings.results
    parts: list[Part] = [key_table(results)]
    if findings.comparisons:
        shown = [results.reference, *findings.comparisons]
        alt = f"Test accuracy of each seed, {listed(shown)}"
        parts.append(Drawing("seeds", plot_seeds(seed_accuracies(results, shown)), alt))
    alt = "Accuracy against epochs"
    parts.append(Drawing("accuracy", plot_accuracy(results.history, results.watched), alt))
    return parts


def key_table(results: Results) -> pd.DataFrame:
    """Return the most important numbers, one column per network."""
    return side_by_side(results, ROWS)


def plot_accuracy(history: pd.DataFrame, watched: str | None) -> Figure:
    """Plot accuracy against epochs: mean and range over the seeds."""
    kinds = {"train_accuracy": "training, augmented"}
    if watched:
        clean = {"clean_train_accuracy": "training, clean"}
        kinds = {"watched_accuracy": SPLIT_NAMES[watched], **clean}
    curves = history.melt(
        id_vars=["network", "seed", "epoch"], value_vars=list(kinds), var_name="images"
    )
    curves = curves.assign(images=curves["images"].map(kinds), accuracy=100 * curves["value"])
    figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    sns.lineplot(
        curves, x="epoch", y="accuracy", hue="network", style="images", palette=colours(),
        style_order=list(kinds.values()), errorbar=("pi", 100), ax=axis,
    )  # fmt: skip
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(ylabel="accuracy, %", ylim=(0, None))
    axis.legend(fontsize="small")
    return figure
