"""Figures: `publish` logs them for one training, the report draws them for all trainings."""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pipeline.core.records import SPLIT_NAMES
from pipeline.core.words import describe_blocks
from pipeline.networks import display_name, network_names

LARGEST_SIDE = 14.0  # inches, of a confusion matrix; with more classes only some are named

mpl.use("agg")
sns.set_theme(style="whitegrid", context="notebook", palette="colorblind")
mpl.rcParams["text.parse_math"] = False  # a class may be named $10_$20


def colours() -> dict[str, tuple[float, float, float]]:
    """Return the colour of each network by its display name; a new network may change them."""
    names = network_names()
    palette = sns.color_palette("colorblind", len(names))  # repeats after ten
    return {display_name(name): colour for name, colour in zip(names, palette, strict=True)}


def colour_of(network: str) -> Any:
    """Return a network's colour; grey if this project does not have the network (any longer)."""
    return colours().get(network, "grey")


def plot_confusion(matrices: dict[str, pd.DataFrame]) -> Figure:
    """Plot the superclass confusion matrices side by side, in percent of the actual superclass.

    Args:
        matrices: the superclass_confusion of each network, by name.
    """
    order = next(iter(matrices.values())).index
    side = min(max(4.5, 0.36 * len(order)), LARGEST_SIDE)
    labels = 0.09 * max(map(len, order))  # inches that the longest name needs, on both axes
    figure, axes = plt.subplots(
        1,
        len(matrices),
        figsize=(len(matrices) * side + labels + 1, side + labels + 0.6),
        sharey=True,
        squeeze=False,
    )
    for axis, (network, matrix) in zip(axes[0], matrices.items(), strict=True):
        sns.heatmap(
            matrix,
            vmin=0,
            vmax=100,
            cmap="rocket_r",
            annot=len(order) <= 20,
            fmt=".0f",
            annot_kws={"size": 7},
            square=True,
            rasterized=len(order) > 20,  # or an SVG has a path per cell
            cbar=False,
            ax=axis,
        )
        axis.set(title=network, xlabel="predicted", ylabel="actual" if axis is axes[0, 0] else "")
    figure.set_layout_engine("constrained")  # only now: seaborn draws the figure for each heatmap
    bar = figure.colorbar(axes[0, -1].collections[0], ax=axes, shrink=0.7)
    bar.set_label("% of each row")
    return figure


def plot_calibration(tables: dict[str, pd.DataFrame], scored: str) -> Figure:
    """Plot accuracy against confidence, and how often each confidence occurs.

    Args:
        tables: for each network the confidence, accuracy and count of each bin.
        scored: the split of the images.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect calibration")
    for name, table in tables.items():
        options = {"color": colours()[name], "marker": "o", "label": name}
        axes[0].plot(table["confidence"], table["accuracy"], **options)
        axes[1].plot(table["confidence"], 100 * table["count"] / table["count"].sum(), **options)
    axes[0].set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    axes[1].set(xlabel="confidence", xlim=(0, 1), ylim=(0, None))
    axes[1].set(ylabel=f"{SPLIT_NAMES[scored]} images, %")
    axes[0].legend()
    return figure


def plot_masks(drawn: dict[str, tuple[list[dict[str, Any]], dict[str, np.ndarray]]]) -> Figure:
    """Show what DropBlock zeroes in a smooth synthetic feature map, one row per network.

    Args:
        drawn: the rows and masks of measure_drop_blocks, by network.
    """
    columns = max(len(masks) for _, masks in drawn.values())
    figure, axes = plt.subplots(
        len(drawn),
        columns,
        figsize=(2.6 * columns, 2.9 * len(drawn)),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for line, (name, (rows, masks)) in zip(axes, drawn.items(), strict=True):
        for axis, row in zip(line, rows, strict=False):
            mask = masks[row["layer"]]
            # Four channels of one sample, in a 2x2 grid.
            shown = _synthetic_map(*mask.shape[:2])[..., np.newaxis] * mask
            frame = [np.pad(c, 1, constant_values=np.nan) for c in np.moveaxis(shown, -1, 0)]
            frame += [np.full_like(frame[0], np.nan)] * (4 - len(frame))
            picture = np.block([[frame[0], frame[1]], [frame[2], frame[3]]])
            axis.imshow(np.ma.masked_invalid(picture), cmap="mako", vmin=0, vmax=1)
            axis.set_title(
                f"{name} {row['layer'].removesuffix('_dropblock')}, map {row['map']}\n"
                f"{_describe_drop(row)}",
                fontsize=9,
            )
    return figure


def _describe_drop(row: dict[str, Any]) -> str:
    size, share = row["block_size"], f"{100 * row['measured']:.1f} % dropped"
    if not size:
        return "nothing dropped: block too large"
    return f"{describe_blocks(size)}, {share}"


def _synthetic_map(height: int, width: int) -> np.ndarray:
    """Return a hill, highest in the middle, above 0.4 everywhere: only dropped units are black."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return 0.4 + 0.6 * np.exp(-2 * (rows**2 + columns**2))
