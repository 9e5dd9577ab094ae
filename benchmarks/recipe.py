"""How the recipe was chosen, and how far it goes.

`queue` queues the resnet's recipe as it was screened, with one part of it changed at a time: what
each is worth. Choices are made on validation accuracy: these experiments score no test image.
`queue-final` queues the runs that do, which are named here before they start. Both in a clone with
the data at hand, the first on the laptop preset, the second on the accurate one. After `dvc queue
start`, `collect` and `collect-final` write what they found to reports/recipe; `draw` draws the
table and the figures of that.
"""

import argparse
import json
import subprocess
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from benchmarks.recipe_figures import FULL, contrast, plot_ablation, plot_frontier
from pipeline.networks import display_name, network_names
from pipeline.core.files import OUTPUTS, PREPARED
from pipeline.core.records import load_metadata
from pipeline.reporting.experiments import compare_experiments, list_results, open_revision
from pipeline.training.schedules import CHANGES

mpl.use("agg")
FOLDER = Path("reports/recipe")
PREFIX = "recipe-"

# The recipe that was screened, as changes of the laptop preset: without DropBlock, an epoch more,
# with the tutorial's ReLU on the image.
SCREENED = [
    *(f"model.{key}={value}" for key, value in CHANGES["nodrop"].items()),
    "model.epochs=11",
    "model.small_image_share=0.637",
    "model.image_relu=true",
]
# What is changed in it, as `dvc exp run -S` takes it.
PARTS = {
    FULL: [],
    "SGD instead of Muon": ["model.optimizer=sgd"],
    "Adam instead of Muon": ["model.optimizer=adam", "model.learning_rate=0.002"],
    "no weight decay of convolutions": ["model.muon_weight_decay=0.0"],
    "shifts of 4 pixels": ["augment.translate_pixels=4"],
    "the tutorial's augmentation": ["augment.policy=tutorial"],
    "random flips": ["augment.alternate_flips=false"],
    "no label smoothing": ["model.label_smoothing=0.0"],
    "32 pixels throughout": ["model.small_image_share=0.0", "model.epochs=7"],
    "one cycle instead of a linear fall": ["model.schedule=one_cycle"],
    "average of the weights": ["model.weight_average=0.99"],
    "no hidden layer": ["model.hidden_units=[]", "model.logits_norm=false"],
    "two hidden layers": ["model.hidden_units=[4096,4096]"],
    "no ReLU on the image": ["model.image_relu=false"],
    "DropBlock, keep probability 0.97": ["model.conv_keep_step=0.003", "model.conv_keep_end=0.97"],
    "DropBlock, keep probability 0.95": ["model.conv_keep_step=0.005", "model.conv_keep_end=0.95"],
}
# The runs that score the test images once, as changes of the accurate preset: all 50,000 images for
# training, a number of epochs fixed beforehand, in 16 bits.
FINAL = {
    "final-resnet-0.03": ["model.width=0.125", "model.hidden_units=[4096]",
                          "model.logits_norm=true", "model.epochs=5",
                          "model.small_image_share=0.8"],
    "final-resnet-0.24": ["model.width=0.25", "model.epochs=9", "model.small_image_share=0.556"],
    "final-resnet-0.57": ["model.epochs=10", "model.small_image_share=0.6"],
    "final-baseline-0.15": ["baseline.width=0.5", "baseline.epochs=26",
                            "baseline.small_image_share=0.654", "baseline.muon_weight_decay=0.03"],
    "final-baseline-0.99": ["baseline.epochs=47"],
    "final-sprint-0.47": [],
}  # fmt: skip
FINAL_SEEDS = {"final-sprint-0.47": [0, 1, 2]}


def queue(seeds: list[int]) -> None:
    """Queue an experiment for each part, without the test images."""
    common = ["train.networks=[model]", f"train.seeds={seeds}", "evaluate.test=false"]
    for part, changes in PARTS.items():
        queue_experiment(experiment_name(part), [*common, *SCREENED, *changes])


def queue_final() -> None:
    """Queue the final runs."""
    names = {display_name(name): name for name in network_names()}
    for name, changes in FINAL.items():
        network = names[name.split("-")[1]]
        seeds = FINAL_SEEDS.get(name, [0])
        common = [f"train.networks=[{network}]", f"train.seeds={seeds}"]
        queue_experiment(name, [*common, "train.precision=mixed_bfloat16", *changes])


def queue_experiment(name: str, changes: list[str]) -> None:
    """Queue an experiment of the workspace's params with some changes."""
    settings = [f"-S{change}" for change in changes]
    subprocess.run(["dvc", "exp", "run", "--queue", "-n", name, *settings], check=True)


def experiment_name(part: str) -> str:
    """Return the name of a part's experiment."""
    return PREFIX + part.lower().replace(" ", "-").replace("'", "").replace(",", "")


def collect() -> None:
    """Write the validation accuracy of each part and seed, from the experiments of this folder."""
    names = {experiment_name(part): part for part in PARTS}
    rows = [
        {
            "where": "pipeline",
            "part": names[found.name],
            "seed": int(seed),
            "val_accuracy": right / images,
        }
        for found in compare_experiments(load_metadata(PREPARED)["digest"])
        if found.name in names
        for images in [found.summary["images"]]
        for seed, right in found.summary["accuracy"]["resnet"]["right"].items()
    ]
    pd.DataFrame(rows).to_csv(FOLDER / "ablation.csv", index=False)


def collect_final() -> None:
    """Write the test accuracy of each final run of this folder to reports/recipe/final.csv."""
    known, rows = pd.read_csv(FOLDER / "final.csv"), []
    for result in list_results():
        if result.experiment in FINAL:
            file = f"{OUTPUTS}/evaluation/{result.training.label}/metrics.json"
            facts = json.loads(open_revision(result.revision).read_text(file))
            scores = facts["scores"]["last"]["test"]
            run = result.experiment, result.training.display_name, result.training.seed, facts["pflop"]
            rows.append([*run, scores["accuracy"], scores["flip_accuracy"]])
    found = pd.DataFrame(rows, columns=known.columns)
    kept = known[~known["name"].isin(found["name"])]
    pd.concat([kept, found]).sort_values("pflop").to_csv(
        FOLDER / "final.csv", index=False, float_format="%.4f"
    )


def main() -> None:
    """Queue or collect the experiments, or draw what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "action", choices=["queue", "collect", "queue-final", "collect-final", "draw"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of queue")
    arguments = parser.parse_args()
    if arguments.action == "queue":
        queue(arguments.seeds)
    elif arguments.action == "queue-final":
        queue_final()
    else:
        if arguments.action == "collect":
            collect()
        if arguments.action == "collect-final":
            collect_final()
        draw()


def draw() -> None:
    """Draw table and figures of what is in reports/recipe."""
    table = contrast(pd.read_csv(FOLDER / "ablation.csv"))
    (FOLDER / "ablation.md").write_text(table.round(2).to_markdown() + "\n")
    plot_ablation(table).savefig(FOLDER / "ablation.png", dpi=110, metadata={"Software": None})
    tables = [pd.read_csv(FOLDER / f"{name}.csv") for name in ("screening", "final", "published")]
    plot_frontier(*tables).savefig(FOLDER / "frontier.png", dpi=110, metadata={"Software": None})
    print(table.round(2).to_markdown())


if __name__ == "__main__":
    main()
