"""The report's figures."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pipeline.results import NAMES, Results, class_accuracy, coarse_predictions

mpl.use("agg")
sns.set_theme(style="whitegrid", context="notebook", palette="colorblind")

COLOURS = dict(zip(NAMES, sns.color_palette("colorblind"), strict=False))
NAMED_CLASSES = 30  # a bar for each class up to here, beyond only the ends of the ranking
SPLIT_NAMES = {"val": "validation", "test": "test"}


def plot_history(results: Results) -> Figure:
    """Plot loss and accuracy of both networks against epochs, all seeds, on one axis each."""
    watched = SPLIT_NAMES[results.watched]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, what in zip(axes, ("accuracy", "loss"), strict=True):
        curves = results.history.melt(
            id_vars=["network", "seed", "epoch"],
            value_vars=[f"train_{what}", f"watched_{what}"],
            var_name="images",
            value_name=what,
        )
        labels = {f"train_{what}": "training (augmented)", f"watched_{what}": watched}
        curves["images"] = curves["images"].map(labels)
        sns.lineplot(
            curves,
            x="epoch",
            y=what,
            hue="network",
            style="images",
            style_order=[watched, "training (augmented)"],
            palette=COLOURS,
            errorbar=("pi", 100),
            ax=axis,
            legend=what == "accuracy",
        )
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set(ylabel="accuracy", ylim=(0, 1))
    axes[1].set(ylabel="cross entropy, nats", ylim=(0, None))
    return figure


def plot_confusion(results: Results) -> Figure:
    """Plot both networks' confusion of superclasses, in percent of the actual superclass."""
    order = results.metadata["superclass_names"]
    side = max(4.5, 0.36 * len(order))
    figure, axes = plt.subplots(
        1, 2, figsize=(2 * side + 1, side + 0.6), sharey=True, layout="constrained"
    )
    for axis, network in zip(axes, NAMES, strict=True):
        pairs = coarse_predictions(results, network)
        matrix = 100 * pd.crosstab(pairs["actual"], pairs["predicted"], normalize="index")
        sns.heatmap(
            matrix.reindex(index=order, columns=order, fill_value=0),
            vmin=0,
            vmax=100,
            cmap="rocket_r",
            annot=len(order) <= 20,
            fmt=".0f",
            annot_kws={"size": 7},
            square=True,
            cbar=network == NAMES[-1],
            cbar_kws={"label": "% of the actual class", "shrink": 0.7},
            ax=axis,
        )
        axis.set(title=network, xlabel="predicted", ylabel="actual" if axis is axes[0] else "")
    return figure


def plot_class_difference(results: Results) -> Figure:
    """Plot for each class how much more accurate the resnet is, in points."""
    table = class_accuracy(results)
    if len(table) > NAMED_CLASSES:
        table = pd.concat([table.head(NAMED_CLASSES // 2), table.tail(NAMED_CLASSES // 2)])
    better = table["difference"] > 0
    figure, axis = plt.subplots(figsize=(7, 1 + 0.24 * len(table)), layout="constrained")
    colours = [COLOURS[NAMES[int(b)]] for b in better]
    axis.barh(table["class"], table["difference"], color=colours)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(xlabel=f"test accuracy, {NAMES[1]} minus {NAMES[0]}, points", ylabel="")
    axis.grid(visible=False, axis="y")
    return figure
