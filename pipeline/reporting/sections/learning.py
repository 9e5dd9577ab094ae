"""How fast the networks learn: curves, schedules, and the time to reach each accuracy."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.core.records import SPLIT_NAMES
from pipeline.evaluation.plots import colours
from pipeline.reporting.curves import COMPUTE, EPOCH, draw_curves
from pipeline.reporting.findings import Findings
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part, Section
from pipeline.reporting.sections.overview import compares_seeds

ABOUT = "Accuracy and loss during training, against epochs and compute."

CURVES = (("accuracy", EPOCH), ("loss", EPOCH), ("accuracy", COMPUTE))

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]  # accuracies
# Of the first epoch that reaches a level: label, column, and how to write a value and a mean.
COLUMNS = (("epochs", "epoch", "{:.0f}", "{:.1f}"), ("seconds", "elapsed", "{:,.0f}", "{:,.0f}"))
LEVELS_NOTE = (
    "The seconds include scoring the {watched} set after each epoch, and the start of each "
    "training, when TensorFlow traces its graph."
)


def make(findings: Findings) -> Section:
    """Show the learning curves."""
    results = findings.results
    shown = CURVES if compares_seeds(findings) else CURVES[1:]  # the page starts with the first
    drawings = [drawing for curve in shown for drawing in draw_curves(results, *curve)]
    parts: list[Part] = [*drawings, *([describe_curves(results.watched)] if drawings else [])]
    parts += _levels(results, LEVELS)
    if drawings:
        alt = "Learning rate and keep probability against epochs"
        parts.append(Drawing("schedules", plot_schedules(results.history), alt))
    return Section("How fast they learn", ABOUT, parts)


def describe_curves(watched: str | None) -> str:
    """Say what the curves show."""
    note = (
        "Lines are means over the seeds, bands the range from the lowest seed to the highest, up "
        "to the last epoch that all seeds have. In epochs with small images, the scores are for "
        "images of that size."
    )
    if watched is None:
        return (
            f"{note} *Training, augmented* is the running mean over the epoch; no other images "
            "were scored before the end."
        )
    return (
        f"{note} *Training, clean* is a sample of the training images, as large as the "
        f"{SPLIT_NAMES[watched]} set, without augmentation and dropout."
    )


def plot_schedules(history: pd.DataFrame) -> Figure:
    """Plot learning rate and DropBlock's keep probability against epochs, of each first seed."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3), layout="constrained")
    labels = {"learning_rate": "learning rate", "keep_prob": "keep probability of DropBlock"}
    for axis, (column, label) in zip(axes, labels.items(), strict=True):
        for name, rows in history.drop_duplicates(["network", "epoch"]).groupby("network"):
            axis.plot(rows["epoch"], rows[column], color=colours()[str(name)], label=name)
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set(ylim=(0, None))
    axes[0].legend(fontsize="small")
    return figure


def _levels(results: Results, levels: list[float]) -> list[Part]:
    if results.watched is None:
        return []
    table = levels_table(results, levels)
    if table.empty:
        return ["No training reached an accuracy of 10 %."]
    watched = SPLIT_NAMES[results.watched]
    return [
        f"Epochs and seconds until the {watched} accuracy first reached each level (mean and range "
        "over the seeds that reached it):",
        table,
        LEVELS_NOTE.format(watched=watched),
    ]


def levels_table(results: Results, levels: list[float]) -> pd.DataFrame:
    """Return the epochs and seconds until the watched accuracy first reached each level.

    Means and ranges over the seeds that reached it; levels that no training reached are left
    out.
    """
    rows = {}
    for level in sorted(levels):
        reached = results.history[results.history["watched_accuracy"] >= level]
        first = reached.groupby(["network", "seed"])[["epoch", "elapsed"]].first()
        if len(first):
            rows[f"{100 * level:.0f} %"] = {
                f"{name}: {label}": _mean_and_range(
                    first.query("network == @name")[key], form, mean, len(results.seeds)
                )
                for name in results.networks
                for label, key, form, mean in COLUMNS
            }
    return pd.DataFrame(rows).T.rename_axis("accuracy")


def _mean_and_range(values: pd.Series, form: str, mean: str, seeds: int) -> str:
    if values.empty:
        return "never"
    low, high = form.format(values.min()), form.format(values.max())
    notes = [f"{low} to {high}"] if low != high else []
    notes += [f"{len(values)} of {seeds} seeds"] if len(values) < seeds else []
    shown = low if low == high else mean.format(values.mean())
    return f"{shown} ({', '.join(notes)})" if notes else shown
