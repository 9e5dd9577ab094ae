"""Make the tables and the figure of reports/curve from its results.csv.

reports/curve/README.md declares the trainings and the contrasts.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.reporting.intervals import t_interval
from pipeline.reporting.p_values import max_t_p_values

mpl.use("agg")
FOLDER = Path("reports/curve")
TEST_IMAGES = 10_000
# Each contrast: the first training minus the second, each a network and a variant.
CONTRASTS = {
    "resnet - plain, with DropBlock": (("resnet", "dropblock"), ("plain", "dropblock")),
    "resnet - plain, without": (("resnet", "nodrop"), ("plain", "nodrop")),
    "DropBlock - none, plain": (("plain", "dropblock"), ("plain", "nodrop")),
    "DropBlock - none, resnet": (("resnet", "dropblock"), ("resnet", "nodrop")),
}


def contrasts(results: pd.DataFrame) -> pd.DataFrame:
    """Compute each contrast at each number of epochs, paired over seeds.

    Args:
        results: epochs, network, variant, seed, pflop and test_accuracy (0 to 1) of each training.

    Returns:
        Rows of epochs, contrast, seeds, the difference in points with its 95 % Student's t
        interval, p of sign flips, adjusted by max-T for the contrasts of these epochs, and PFLOP.
    """
    rows = []
    for epochs, trained in results.groupby("epochs"):
        # Whole numbers of images have exact sums, so that ties of flips stay ties.
        right = trained.assign(right=(trained["test_accuracy"] * TEST_IMAGES).round()).pivot(
            index="seed", columns=["network", "variant"], values="right"
        )
        right = right.dropna()
        paired = np.array([right[first] - right[second] for first, second in CONTRASTS.values()])
        p_values = max_t_p_values(paired.T)
        for name, differences, p in zip(CONTRASTS, paired, p_values, strict=True):
            found = t_interval(100 * differences / TEST_IMAGES)
            rows.append({"epochs": epochs, "contrast": name, "seeds": len(right),
                         "difference, points": found.mean, "low": found.low, "high": found.high,
                         "adjusted p": p, "PFLOP": trained["pflop"].mean()})  # fmt: skip
    return pd.DataFrame(rows)


def accuracies(results: pd.DataFrame) -> pd.DataFrame:
    """Return each arm's mean test accuracy in % with its 95 % Student's t interval."""
    rows = []
    for arm, trained in results.groupby(["epochs", "network", "variant"]):
        found = t_interval(100 * trained["test_accuracy"].to_numpy())
        compute = trained["pflop"].mean()
        rows.append((*arm, compute, len(trained), found.mean, found.low, found.high))
    names = ["epochs", "network", "variant", "PFLOP", "seeds", "test accuracy, %", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def plot(results: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Plot mean accuracies, and the contrasts with their intervals, against training compute."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    colours = {"resnet": "C0", "plain": "C1"}
    for (network, variant), rows in results.groupby(["network", "variant"]):
        means = rows.groupby("epochs")[["pflop", "test_accuracy"]].mean()
        left.plot(
            means["pflop"], 100 * means["test_accuracy"], marker="o", color=colours[network],
            linestyle="-" if variant == "dropblock" else "--",
            label=f"{network}, {'with' if variant == 'dropblock' else 'without'} DropBlock",
        )  # fmt: skip
    left.set(xscale="log", xlabel="training compute, PFLOP", ylabel="test accuracy, %")
    left.legend(fontsize="small")
    for place, (name, rows) in enumerate(table.groupby("contrast", sort=False)):
        means = rows["difference, points"]
        right.errorbar(
            rows["PFLOP"] * (0.97 + 0.02 * place), means, fmt="o-", capsize=3, label=name,
            yerr=[means - rows["low"], rows["high"] - means],
        )  # fmt: skip
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xscale="log", xlabel="training compute, PFLOP", ylabel="difference, points")
    right.legend(fontsize="small")
    return figure


def main() -> None:
    """Print the tables; draw the figure once there are several budgets."""
    results = pd.read_csv(FOLDER / "results.csv")
    table = contrasts(results)
    print(accuracies(results).to_markdown(index=False, floatfmt=".3g"), end="\n\n")
    print(table.drop(columns="PFLOP").to_markdown(index=False, floatfmt=".3g"))
    if results["epochs"].nunique() > 1:
        plot(results, table).savefig(FOLDER / "curve.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
