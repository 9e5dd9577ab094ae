"""The report's figures."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pipeline.results import NAMES

mpl.use("agg")
sns.set_theme(style="whitegrid", context="notebook", palette="colorblind")

COLOURS = dict(zip(NAMES, sns.color_palette("colorblind"), strict=False))
NAMED_CLASSES = 30  # a bar for each class up to here, beyond only the ends of the ranking
SPLIT_NAMES = {"val": "validation", "test": "test"}


def plot_history(history: pd.DataFrame, watched: str) -> Figure:
    """Plot accuracy and loss against epochs: all networks and seeds on one axis each.

    Args:
        history: a row for each epoch, as in Results.history, of any number of trainings.
        watched: "val" or "test", the split of `watched_loss` and `watched_accuracy`.
    """
    watched = SPLIT_NAMES[watched]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, what in zip(axes, ("accuracy", "loss"), strict=True):
        curves = history.melt(
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


def plot_confusion(pairs: dict[str, pd.DataFrame], order: list[str]) -> Figure:
    """Plot the confusion of superclasses side by side, in percent of the actual superclass.

    Args:
        pairs: of each network, the columns actual and predicted, a row for each test image.
        order: the superclasses in the order of the axes.
    """
    side = max(4.5, 0.36 * len(order))
    figure, axes = plt.subplots(
        1,
        len(pairs),
        figsize=(len(pairs) * side + 1, side + 0.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (network, table) in zip(axes[0], pairs.items(), strict=True):
        matrix = 100 * pd.crosstab(table["actual"], table["predicted"], normalize="index")
        sns.heatmap(
            matrix.reindex(index=order, columns=order, fill_value=0),
            vmin=0,
            vmax=100,
            cmap="rocket_r",
            annot=len(order) <= 20,
            fmt=".0f",
            annot_kws={"size": 7},
            square=True,
            cbar=axis is axes[0, -1],
            cbar_kws={"label": "% of the actual class", "shrink": 0.7},
            ax=axis,
        )
        axis.set(title=network, xlabel="predicted", ylabel="actual" if axis is axes[0, 0] else "")
    return figure


def plot_class_difference(table: pd.DataFrame) -> Figure:
    """Plot for each class how much more accurate the resnet is, in points.

    Args:
        table: class and difference in points, in the order to show.
    """
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
