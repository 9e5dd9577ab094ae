"""Make the tables and the figure of reports/confirm from its trials.csv.

reports/confirm/README.md declares the trainings.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.reporting.tuning import Tuned, expected_best

mpl.use("agg")
FOLDER = Path("reports/confirm")
SCREENING, LONGER = 3, 10  # epochs of the first and of the second round
# Recipes that were tried in addition to the drawn ones: laptop's own, and the same with identity
# initialisation and the rescaled Muon.
OWN, CHANGED = "laptop", "dirac"
ENTRANTS = 5  # of each network in the second round


def read_trials(file: Path = FOLDER / "trials.csv") -> pd.DataFrame:
    """Read a row per training of the tuning: network, epochs, seed, trial, values, val_accuracy."""
    return pd.read_csv(file, dtype={"trial": str})


def tuned(trials: pd.DataFrame) -> list[Tuned]:
    """Return each network with the scores of its drawn trials."""
    drawn = trials[(trials["epochs"] == SCREENING) & trials["trial"].str.isdecimal()]
    found = drawn.groupby("network", sort=False)["val_accuracy"]
    return [Tuned(str(network), scores.to_numpy()) for network, scores in found]


def screening(trials: pd.DataFrame) -> pd.DataFrame:
    """Return each network's first round, in % of validation accuracy."""
    short = trials[trials["epochs"] == SCREENING]
    known = short.pivot(index="network", columns="trial", values="val_accuracy")
    rows = [
        {
            "network": network,
            "`laptop`'s recipe": 100 * known.loc[network, OWN],
            "with the change": 100 * known.loc[network, CHANGED],
            "median of the trials": 100 * pd.Series(scores).median(),
            "best of the trials": 100 * scores.max(),
            f"expected best of {ENTRANTS}": 100 * expected_best(scores)[ENTRANTS - 1],
        }
        for network, scores in tuned(trials)
    ]
    return pd.DataFrame(rows)


def second_round(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trainings of the second round, the best of each network first, in %."""
    scores = trials.assign(score=100 * trials["val_accuracy"]).pivot(
        index=["network", "trial"], columns="epochs", values="score"
    )
    values = trials[trials["epochs"] == LONGER].set_index(["network", "trial"])
    values = values.drop(columns=["epochs", "seed", "val_accuracy", "commit"])
    both = scores[[LONGER, SCREENING]].dropna().add_suffix(" epochs, %")
    table = both.join(values).sort_values(f"{LONGER} epochs, %", ascending=False).reset_index()
    order = list(trials["network"].unique())
    return table.sort_values("network", key=lambda names: names.map(order.index), kind="stable")


def plot(trials: pd.DataFrame) -> Figure:
    """Plot each network's expected best of k trials, and what the known recipes reach."""
    figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    known = trials[(trials["epochs"] == SCREENING) & (trials["trial"] == OWN)]
    for place, (network, scores) in enumerate(tuned(trials)):
        best, colour = expected_best(scores), f"C{place}"
        axis.plot(range(1, len(best) + 1), 100 * best, "o-", color=colour, markersize=3,
                  label=network)  # fmt: skip
        own = known.loc[known["network"] == network, "val_accuracy"]
        axis.axhline(100 * own.item(), color=colour, linewidth=0.8, linestyle="--")
    axis.plot([], [], color="grey", linewidth=0.8, linestyle="--", label="laptop's recipe")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="trials", ylabel="expected best validation accuracy, %")
    axis.legend(fontsize="small")
    return figure


def main() -> None:
    """Print the tables and draw the figure."""
    trials = read_trials()
    print(screening(trials).to_markdown(index=False, floatfmt=".1f"), end="\n\n")
    print(second_round(trials).to_markdown(index=False, floatfmt=".3g"))
    plot(trials).savefig(FOLDER / "tuning.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
