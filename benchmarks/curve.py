"""Make the tables and the figure of reports/curve from its experiments' results.

reports/curve/README.md declares the trainings and the contrasts. Each experiment is a folder with
params.yaml and what `report` wrote.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.commands.verify import read_published
from pipeline.core.files import COMPARISON, PREDICTIONS
from pipeline.core.recipe import resolve
from pipeline.reporting.audit import read_answers
from pipeline.reporting.intervals import t_interval
from pipeline.reporting.p_values import max_t_p_values

mpl.use("agg")
FOLDER = Path("reports/curve")
CONFIRMED = Path("reports/confirm/nodrop")  # has the resnet after 10 epochs, without DropBlock
TEST_IMAGES = 10_000
# Each contrast: the first arm minus the second, each a network and a variant.
CONTRASTS = {
    "resnet - plain, with DropBlock": (("resnet", "dropblock"), ("plain", "dropblock")),
    "resnet - plain, without": (("resnet", "nodrop"), ("plain", "nodrop")),
    "DropBlock - none, plain": (("plain", "dropblock"), ("plain", "nodrop")),
    "DropBlock - none, resnet": (("resnet", "dropblock"), ("resnet", "nodrop")),
}


def read_trainings() -> pd.DataFrame:
    """Read a row per training: epochs, network, variant, seed, PFLOP, and right test images."""
    folders = [CONFIRMED, *sorted(file.parent for file in FOLDER.glob(f"*/{COMPARISON.name}"))]
    return pd.DataFrame([row for folder in folders for row in _trainings(folder)])


def _trainings(folder: Path) -> list[dict[str, object]]:
    result, rows = read_published(folder), []
    for name, answers in read_answers(folder / PREDICTIONS.name).items():
        _, network, variant, seed = name.split("/")
        rows.append({
            "epochs": resolve(result.params, result.summary["sections"][network])["epochs"],
            "network": "plain" if network == "baseline" else network,
            "variant": variant,
            "seed": int(seed),
            "PFLOP": result.summary["cost"][network]["pflop"],
            "right": int(answers.right.sum()),
        })  # fmt: skip
    return rows


def contrasts(trainings: pd.DataFrame) -> pd.DataFrame:
    """Compute each contrast that has results at each number of epochs, paired over seeds.

    Returns:
        Rows of epochs, contrast, seeds, the difference in points with its 95 % Student's t
        interval, p of sign flips, adjusted by max-T for the contrasts of these epochs, and PFLOP.
    """
    rows = []
    for epochs, trained in trainings.groupby("epochs"):
        right = trained.pivot(index="seed", columns=["network", "variant"], values="right").dropna()
        known = {name: arms for name, arms in CONTRASTS.items() if set(arms) <= set(right)}
        if not known:
            continue
        # Whole numbers of images have exact sums, so that ties of flips stay ties.
        paired = np.array([right[first] - right[second] for first, second in known.values()])
        p_values = max_t_p_values(paired.T)
        for name, differences, p in zip(known, paired, p_values, strict=True):
            found = t_interval(100 * differences / TEST_IMAGES)
            rows.append({"epochs": epochs, "contrast": name, "seeds": len(right),
                         "difference, points": found.mean, "low": found.low, "high": found.high,
                         "adjusted p": p, "PFLOP": trained["PFLOP"].mean()})  # fmt: skip
    return pd.DataFrame(rows)


def accuracies(trainings: pd.DataFrame) -> pd.DataFrame:
    """Return each arm's mean test accuracy in % with its 95 % Student's t interval."""
    rows = []
    for arm, trained in trainings.groupby(["epochs", "network", "variant"]):
        found = t_interval(100 * trained["right"].to_numpy() / TEST_IMAGES)
        compute = trained["PFLOP"].mean()
        rows.append((*arm, compute, len(trained), found.mean, found.low, found.high))
    names = ["epochs", "network", "variant", "PFLOP", "seeds", "test accuracy, %", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def plot(arms: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Plot mean accuracies, and contrasts with their intervals, against training compute."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    colours = {"resnet": "C0", "plain": "C1"}
    for (network, variant), rows in arms.groupby(["network", "variant"]):
        left.plot(
            rows["PFLOP"], rows["test accuracy, %"], marker="o", color=colours[network],
            linestyle="-" if variant == "dropblock" else "--",
            label=f"{network}, {'with' if variant == 'dropblock' else 'without'} DropBlock",
        )  # fmt: skip
    left.set(ylabel="test accuracy, %")
    for place, (name, rows) in enumerate(table.groupby("contrast", sort=False)):
        means = rows["difference, points"]
        right.errorbar(
            rows["PFLOP"] * (0.97 + 0.02 * place), means, fmt="o-", capsize=3, label=name,
            yerr=[means - rows["low"], rows["high"] - means],
        )  # fmt: skip
    right.axhline(0, color="black", linewidth=0.8)
    right.set(ylabel="difference, points")
    budgets = arms.groupby("epochs")["PFLOP"].mean()
    names = [f"{compute:.2g}\n{epochs} epochs" for epochs, compute in budgets.items()]
    for axis in (left, right):
        axis.set(xscale="log", xlabel="training compute, PFLOP")
        axis.set_xticks(budgets, names)
        axis.minorticks_off()
        axis.legend(fontsize="small")
    return figure


def main() -> None:
    """Print the tables; draw the figure once there are several budgets."""
    trainings = read_trainings()
    arms, table = accuracies(trainings), contrasts(trainings)
    points = (".2f",) * 3
    print(arms.to_markdown(index=False, floatfmt=("", "", "", ".4f", "", *points)), end="\n\n")
    shown = table.drop(columns="PFLOP")
    print(shown.to_markdown(index=False, floatfmt=("", "", "", *points, ".3f")))
    if trainings["epochs"].nunique() > 1:
        plot(arms, table).savefig(FOLDER / "curve.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
