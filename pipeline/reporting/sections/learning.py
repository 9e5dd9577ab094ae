"""How fast the networks learn: curves, schedules, and the time to reach each accuracy."""

import matplotlib.pyplot as plt
import numpy as np
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
        "Lines are means over the seeds, bands the range from the lowest seed to the highest. In "
        "epochs with small images, the scores are for images of that size."
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
    trainings = list(results.history.groupby(["network", "seed"]))
    rows = []
    for level in sorted(levels):
        row = {"accuracy": f"{100 * level:.0f} %"}
        for name in results.names:
            reached = [
                curve[curve["watched_accuracy"] >= level].iloc[0]
                for (network, _), curve in trainings
                if network == name and (curve["watched_accuracy"] >= level).any()
            ]
            row |= _first_time(name, reached, len(results.seeds(name)))
        if any(value != "never" for value in list(row.values())[1:]):
            rows.append(row)
    return pd.DataFrame(rows).set_index("accuracy") if rows else pd.DataFrame()


def _first_time(name: str, reached: list[pd.Series], trainings: int) -> dict[str, str]:
    if not reached:
        return {f"{name}: epochs": "never", f"{name}: seconds": "never"}
    some = "" if len(reached) == trainings else f", {len(reached)} of {trainings} seeds"
    forms = {"epochs": ("epoch", "{:.0f}", "{:.1f}"), "seconds": ("elapsed", "{:,.0f}", "{:,.0f}")}
    return {
        f"{name}: {label}": _mean_and_range([row[key] for row in reached], form, mean, some)
        for label, (key, form, mean) in forms.items()
    }


def _mean_and_range(values: list[float], form: str, mean: str, some: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    if low == high:
        return low + (f" ({some.removeprefix(', ')})" if some else "")
    return f"{mean.format(np.mean(values))} ({low} to {high}{some})"
