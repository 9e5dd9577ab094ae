"""Make the tables and figures of reports/confirm from its trials.csv and its experiments' results.

reports/confirm/README.md declares the trainings and the contrasts. Each experiment is a subfolder
with params.yaml and what `report` wrote.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.commands.compare import write_contrasts
from pipeline.commands.verify import read_published
from pipeline.core.files import COMPARISON
from pipeline.evaluation.plots import colour_of
from pipeline.reporting.contrasts import Contrast, Contrasts, contrast
from pipeline.reporting.formats import between, format_p
from pipeline.reporting.tried import BLOCK, Result
from pipeline.reporting.tuning import Tuned, expected_best

mpl.use("agg")
FOLDER = Path("reports/confirm")
SCREENING, LONGER = 3, 10  # epochs of the first and of the second round
# Recipes that were tried in addition to the drawn ones: the earlier one of preset laptop, and the
# same with identity initialisation and the rescaled Muon.
EARLIER, CHANGED = "laptop", "dirac"
ENTRANTS = 5  # of each network in the second round
REFERENCE = "laptop"  # the experiment with the two networks of preset `laptop`
# The declared contrasts: the experiment, and what its network is compared with.
NETWORKS = {"plain": "resnet minus plain", "laptop": "resnet minus baseline"}
SETTINGS = {
    "skipless": "resnet without skip connections minus resnet",
    "nodrop": "resnet without DropBlock minus resnet",
    "block-1": "resnet with DropBlock 1x1 minus resnet",
    "block-7": "resnet with DropBlock 7x7 minus resnet",
}

# The settings of README's answer: the experiment, and the network's name there.
ANSWER = {
    "baseline": ("laptop", "baseline"),
    "plain network (wider baseline)": ("plain", "baseline"),
    "resnet": ("laptop", "resnet"),
    "resnet without skip connections": ("skipless", "resnet"),
    "resnet without DropBlock": ("nodrop", "resnet"),
}


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
            "earlier recipe": 100 * known.loc[network, EARLIER],
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
    known = trials[(trials["epochs"] == SCREENING) & (trials["trial"] == EARLIER)]
    for place, (network, scores) in enumerate(tuned(trials)):
        best, colour = expected_best(scores), f"C{place}"
        axis.plot(range(1, len(best) + 1), 100 * best, "o-", color=colour, markersize=3,
                  label=network)  # fmt: skip
        earlier = known.loc[known["network"] == network, "val_accuracy"]
        axis.axhline(100 * earlier.item(), color=colour, linewidth=0.8, linestyle="--")
    axis.plot([], [], color="grey", linewidth=0.8, linestyle="--", label="earlier recipe")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="trials", ylabel="expected best validation accuracy, %")
    axis.legend(fontsize="small")
    return figure


def read_experiments(folder: Path = FOLDER) -> list[Result]:
    """Read the results of all experiments; a folder may hold some of an experiment's seeds."""
    found = [read_published(file.parent) for file in sorted(folder.glob(f"*/{COMPARISON.name}"))]
    return [result._replace(name=Path(result.name).name) for result in found]


def confirmed(found: Contrasts) -> pd.DataFrame:
    """Return a row per declared contrast that has results, in points of test accuracy."""
    leads = [(NETWORKS, lead.contrast, lead.contrast.reference) for lead in found.leads]
    others = [(SETTINGS, other, other.setting) for other in found.family]
    rows = {
        names[experiment]: describe(one)
        for names, one, changed in [*leads, *others]
        for experiment in changed.experiments
        if experiment in names
    }
    order = [*NETWORKS.values(), *SETTINGS.values()]
    return pd.DataFrame(rows).T.reindex([name for name in order if name in rows])


def describe(found: Contrast) -> dict[str, str]:
    """Say how large a difference is, and whether it counts as shown."""
    return {
        "seeds": str(len(found.by_seed)),
        "difference, points": f"{100 * found.difference.mean:+.2f}",
        "95 % interval": between(found.difference, "+.2f"),
        "adjusted p": format_p(found.p_value),
        "shown": "yes" if found.significant else "no",
    }


def plot_answer(results: list[Result]) -> Figure:
    """Plot the test accuracies of each setting of the answer, by seed, with their mean."""
    summaries = {result.name: result.summary for result in results}
    figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
    labels = []
    for place, (setting, (experiment, network)) in enumerate(ANSWER.items()):
        summary, colour = summaries[experiment], colour_of(network)
        accuracy = summary["accuracy"][network]
        scores = [100 * count / summary["images"] for count in accuracy["right"].values()]
        mean = 100 * accuracy["mean"]
        axis.scatter(scores, [place] * len(scores), s=22, color=colour, alpha=0.6, linewidth=0)
        axis.annotate(f"{mean:.1f} %", (mean, place), (0, 6), textcoords="offset points",
                      ha="center", fontsize="small")  # fmt: skip
        labels.append(f"{setting}\n{summary['cost'][network]['pflop']:.3f} PFLOP")
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="test accuracy of each seed, %", ylim=(len(labels) - 0.5, -0.7))
    return figure


def main() -> None:
    """Print the tables; draw the figures and write the page of all experiments."""
    trials = read_trials()
    print(screening(trials).to_markdown(index=False, floatfmt=".1f"), end="\n\n")
    print(second_round(trials).to_markdown(index=False, floatfmt=".3g"))
    plot(trials).savefig(FOLDER / "tuning.png", dpi=110, metadata={"Software": None})
    experiments = read_experiments()
    answer = plot_answer(experiments)
    answer.savefig(FOLDER / "accuracy.png", dpi=110, metadata={"Software": None})
    found = contrast(experiments, REFERENCE)
    print("", confirmed(found).to_markdown(disable_numparse=True), sep="\n")
    write_contrasts(found, BLOCK, FOLDER)


if __name__ == "__main__":
    main()
