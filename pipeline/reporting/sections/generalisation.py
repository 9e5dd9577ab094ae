"""The generalisation gap: accuracy on training images minus that on other images."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.records import SPLIT_NAMES
from pipeline.evaluation.plots import colours
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import mean_and_spread
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Section

ABOUT = "How much better the networks are on their training images than on other images."


def make(findings: Findings) -> Section:
    """Show the generalisation gap."""
    results = findings.results
    if results.watched is None:
        return Section("Generalisation", ABOUT, [gap_table(results)])
    alt = f"Accuracy on training minus {SPLIT_NAMES[results.watched]} images, against epochs"
    gap = Drawing("generalisation_gap", plot_gap(results.history, results.watched), alt)
    return Section("Generalisation", ABOUT, [gap_table(results), gap])


def gap_table(results: Results) -> pd.DataFrame:
    """Return the gap of the kept weights: training minus test images, without dropout."""
    cells = {}
    for name in results.names:
        rows = results.of_network(name)
        accuracy = 100 * (rows["best_train_accuracy"] - rows["best_test_accuracy"])
        loss = rows["best_test_loss"] - rows["best_train_loss"]
        cells[name] = {
            "accuracy, training minus test, points": mean_and_spread(accuracy, "{:.1f}"),
            "loss, test minus training, nats": mean_and_spread(loss, "{:.3f}"),
        }
    return pd.DataFrame(cells).rename_axis("")


def plot_gap(history: pd.DataFrame, watched: str) -> Figure:
    """Plot the generalisation gap of each epoch: accuracy on training minus watched images."""
    gap = 100 * (history["clean_train_accuracy"] - history["watched_accuracy"])
    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    sns.lineplot(
        history.assign(gap=gap), x="epoch", y="gap", hue="network", palette=colours(),
        errorbar=("pi", 100), ax=axis,
    )  # fmt: skip
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(ylabel=f"accuracy, training minus\n{SPLIT_NAMES[watched]}, points")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
