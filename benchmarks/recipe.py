"""Make the table and the figures of reports/recipe, from its CSV files.

reports/recipe/README.md describes the trainings behind them; commit fe9a1b1 has the code that
queued and collected them.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colour_of
from pipeline.reporting.intervals import t_interval

mpl.use("agg")
FOLDER = Path("reports/recipe")
FULL = "full recipe"
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)  # PFLOP
PUBLISHED = 0.707  # test accuracy of the tutorial's resnet
NAMES = {"other": "small residual networks of another shape"}


def contrast(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Compare each changed recipe with the full one trained by the same code, paired over seeds.

    Args:
        accuracies: columns where (the PyTorch port or the pipeline), part (what was changed), seed
            and val_accuracy (0 to 1).

    Returns:
        By part: number of seeds, mean validation accuracy in percent, and the difference in points
        with its 95 % Student's t interval.
    """
    rows = {}
    for _, mine in accuracies.groupby("where"):
        by_part = mine.pivot(index="seed", columns="part", values="val_accuracy") * 100
        for part in [p for p in mine["part"].unique() if p != FULL]:
            paired = (by_part[part] - by_part[FULL]).dropna()
            found = t_interval(paired.to_numpy())
            rows[part] = (len(paired), by_part[part].mean(), found.mean, found.low, found.high)
    columns = ["seeds", "validation accuracy, %", "difference, points", "low", "high"]
    table = pd.DataFrame(rows, index=columns).T.astype({"seeds": int})
    return table.sort_values("difference, points").rename_axis("changed in the recipe")


def plot_ablation(table: pd.DataFrame) -> Figure:
    """Plot the differences with their intervals."""
    figure, axis = plt.subplots(figsize=(8, 0.4 * len(table) + 1), layout="constrained")
    places, means = np.arange(len(table)), table["difference, points"]
    axis.errorbar(
        means, places, xerr=[means - table["low"], table["high"] - means], fmt="o", capsize=3
    )
    axis.set_yticks(places, [f"{part} ({int(row.seeds)} seeds)" for part, row in table.iterrows()])
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(xlabel="validation accuracy minus that of the full recipe, points")
    return figure


def plot_frontier(screened: pd.DataFrame, final: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Plot accuracy against training compute.

    Args:
        screened: network, pflop and val_accuracy of each training used to choose the recipe.
        final: name, network, pflop and test_accuracy of the final runs.
        published: name, pflop and test_accuracy of networks published by others.
    """
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for network, rows in screened.groupby("network"):
        axis.scatter(
            rows["pflop"], 100 * rows["val_accuracy"], s=14, alpha=0.45, linewidth=0,
            color=colour_of(network),
            label=f"{NAMES.get(network, network)}, screening (validation)",
        )  # fmt: skip
    for network, rows in final.groupby("network"):
        axis.scatter(
            rows["pflop"], 100 * rows["test_accuracy"], s=90, marker="*", edgecolor="black",
            color=colour_of(network), label=f"{network}, final (test)", zorder=3,
        )  # fmt: skip
    axis.scatter(
        published["pflop"], 100 * published["test_accuracy"], s=40, marker="x", color="black",
        label="published recipes, other networks (test)",
    )  # fmt: skip
    axis.axhline(100 * PUBLISHED, color="grey", linewidth=0.8, linestyle="--")
    axis.set(xscale="log", xlabel="training compute, PFLOP", ylabel="accuracy, %")
    axis.set_xticks(TICKS, TICKS)
    axis.minorticks_off()
    start = axis.get_xlim()[0]
    axis.text(start, 71, f"  the tutorial's resnet, 47 PFLOP: {PUBLISHED:.1%}", fontsize="small")
    axis.legend(fontsize="small", loc="lower right")
    return figure


def main() -> None:
    """Write the table and the figures."""
    table = contrast(pd.read_csv(FOLDER / "ablation.csv"))
    (FOLDER / "ablation.md").write_text(table.round(2).to_markdown() + "\n")
    plot_ablation(table).savefig(FOLDER / "ablation.png", dpi=110, metadata={"Software": None})
    tables = [pd.read_csv(FOLDER / f"{name}.csv") for name in ("screening", "final", "published")]
    plot_frontier(*tables).savefig(FOLDER / "frontier.png", dpi=110, metadata={"Software": None})
    print(table.round(2).to_markdown())


if __name__ == "__main__":
    main()
