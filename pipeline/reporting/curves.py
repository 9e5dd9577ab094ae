"""Curves over the epochs: the mean over the seeds with their range, and readings on hover."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.core.records import SPLIT_NAMES
from pipeline.evaluation.plots import colours
from pipeline.reporting.formats import flop, listed
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Reading

SIZE = (4.8, 3.4)  # inches; two fit side by side on the page
DASHES = ("-", "--")
EPOCH, COMPUTE = "epoch", "training compute"


def shown_images(results: Results, score: str) -> dict[str, str]:
    """Return the history's columns of a score, with the names of the images they are of."""
    if results.watched is None:
        return {f"train_{score}": "training, augmented"}
    return {
        f"watched_{score}": SPLIT_NAMES[results.watched],
        f"clean_train_{score}": "training, clean",
    }


def over_seeds(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return network, epoch, the compute so far in FLOP, and mean, min and max over the seeds.

    Only epochs that all seeds of a network have: else the mean would jump when one stops early.
    """
    grouped = history.groupby(["network", "epoch"], sort=False)
    scores = grouped[column].agg(["mean", "min", "max"])
    scores = scores.assign(flop=1e15 * grouped["pflop"].mean(), seeds=grouped.size()).reset_index()
    everyone = scores.groupby("network")["seeds"].transform("max")
    return scores[scores["seeds"] == everyone].drop(columns="seeds")


def draw_curves(results: Results, score: str, x: str) -> list[Drawing]:
    """Draw one score against epochs or compute, a colour per network and a dash per images.

    Nothing if no training has a second epoch.
    """
    if results.history["epoch"].max() < 2:
        return []
    scale, label = (100, "accuracy, %") if score == "accuracy" else (1, "cross entropy, nats")
    images = shown_images(results, score)
    tables = {}
    figure, axis = plt.subplots(figsize=SIZE, layout="constrained")
    for (column, kind), dash in zip(images.items(), DASHES, strict=False):
        table = over_seeds(results.history, column)
        table[["mean", "min", "max"]] *= scale
        tables[kind] = table.assign(x=table["epoch" if x == EPOCH else "flop"])
        _plot(axis, tables[kind], kind, dash)
    axis.set(xlabel=x, ylabel=label)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=x == EPOCH))
    if x == COMPUTE:
        axis.xaxis.set_major_formatter(lambda value, _: flop(value))
    axis.set(xlim=(0, None), ylim=(0, None))
    if score == "loss":
        _cut_peaks(axis, results.history)
    axis.legend(fontsize="x-small")
    name = score if x == EPOCH else f"{score}_by_compute"
    alt = f"{score.capitalize()} against {x}; images: {listed(list(images.values()))}"
    return [Drawing(name, figure, alt, readings=readings(tables, x))]


def _plot(axis: Axes, table: pd.DataFrame, images: str, dash: str) -> None:
    for network, rows in table.groupby("network", sort=False):
        colour = colours()[str(network)]
        label = f"{network}, {images}"
        axis.plot(rows["x"], rows["mean"], color=colour, linestyle=dash, label=label)
        axis.fill_between(rows["x"], rows["min"], rows["max"], color=colour, alpha=0.2, linewidth=0)


def _cut_peaks(axis: Axes, history: pd.DataFrame) -> None:
    """Limit a loss axis if peaks on other images would flatten the training curves."""
    losses, training = history.filter(regex="_loss$").to_numpy(), history["train_loss"].max()
    if np.nanmax(losses) > 4 * training:
        axis.set(ylim=(0, 2 * training), title="higher peaks are cut")


def readings(tables: dict[str, pd.DataFrame], x: str) -> list[Reading]:
    """Return what the curves show at each place on the x-axis, in lines.

    Args:
        tables: x, network, epoch, mean, min and max, by the images that they are of.
    """
    table = pd.concat([table.assign(images=images) for images, table in tables.items()])
    found = []
    for place, rows in table.sort_values("x", kind="stable").groupby("x"):
        epoch = f"epoch {rows['epoch'].iloc[0]}"
        lines = [epoch if x == EPOCH else f"{flop(place)}, {epoch}"]
        for row in rows.itertuples(index=False):
            spread = "" if row.min == row.max else f" ({row.min:.3g} to {row.max:.3g})"
            lines.append(f"{row.network}, {row.images}: {row.mean:.3g}{spread}")
        found.append(Reading(place, lines))
    return found
