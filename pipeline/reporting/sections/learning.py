"""How fast the networks learn: curves, schedules, and the time to reach each accuracy."""

import numpy as np
import pandas as pd

from pipeline.core.records import SPLIT_NAMES
from pipeline.evaluation.plots import plot_history, plot_schedules
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import listed
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part, Section

ABOUT = "Accuracy and loss during training, against epochs, compute and time."

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 0.95]  # accuracies
LEVELS_NOTE = "The seconds include the start of each training, when TensorFlow traces its graph."


def make(findings: Findings) -> Section:
    """Show the learning curves."""
    results = findings.results
    parts: list[Part] = [
        Drawing(
            "learning_curves",
            plot_history(results.history, results.watched),
            "Accuracy and loss against epochs, compute and minutes",
        ),
        describe_curves(results.watched),
        *_levels(results, LEVELS),
        Drawing(
            "schedules",
            plot_schedules(results.history),
            "Learning rate and keep probability against epochs",
        ),
    ]
    return Section("How fast they learn", ABOUT, parts, {"learning_curves": mean_curves(results)})


def describe_curves(watched: str | None) -> str:
    """Say what the curves show."""
    note = (
        "*Training, augmented* is the running mean over the epoch. Plots against epochs show "
        "the mean and range over the seeds, plots against compute and minutes each seed. In epochs "
        "with small images, the scores are for images of that size."
    )
    if watched is None:
        return f"{note} No other images were scored before the end. The time is that of training."
    return (
        f"*Training, clean* is a sample of the training images, as large as the "
        f"{SPLIT_NAMES[watched]} set, without augmentation and dropout. {note} The time is that of "
        f"training and of scoring the {SPLIT_NAMES[watched]} set."
    )


def _levels(results: Results, levels: list[float]) -> list[Part]:
    if results.watched is None:
        return []
    table = levels_table(results, levels)
    if table.empty:
        return ["No training reached an accuracy of 10 %."]
    return [
        f"Epochs and seconds until the {SPLIT_NAMES[results.watched]} accuracy first reached each "
        "level, as means over the seeds that reached it with their range:",
        table,
        f"{LEVELS_NOTE} {describe_tracing(results)}".strip(),
    ]


def describe_tracing(results: Results) -> str:
    """Say how much longer the first epoch took than later ones with the same image size."""
    history = results.history
    first = history.groupby(["network", "seed"])[["seconds", "image_size"]].transform("first")
    alike = history[history["image_size"] == first["image_size"]]
    seconds = alike.groupby(["network", "seed"])["seconds"]
    extra = (seconds.first() - seconds.median()).groupby("network").mean()
    said = [f"{extra[name]:,.1f} s ({name})" for name in results.names if extra[name] >= 0.05]
    if not said:
        return ""
    return f"The first epoch took {listed(said)} longer than the median epoch of its image size."


def mean_curves(results: Results) -> pd.DataFrame:
    """Return network, epoch, and the watched split's accuracy and loss as means over seeds.

    If no split was watched, those of the augmented training images.
    """
    kind = "watched" if results.watched else "train"
    columns = {f"{kind}_accuracy": "accuracy", f"{kind}_loss": "loss"}
    means = results.history.groupby(["network", "epoch"], sort=False)[list(columns)].mean()
    return means.rename(columns=columns).reset_index()


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
