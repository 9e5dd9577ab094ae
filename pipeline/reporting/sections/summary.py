"""The networks side by side: size, scores, time; and the published figures beside them."""

import pandas as pd

from pipeline.reporting import tutorial
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import Rows, describe_seeds, side_by_side
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section

SPLITS = ("train", "val", "test")
SCORES = {
    "accuracy": ("accuracy, %", "{:.1f}", 100),
    "loss": ("loss", "{:.3f}", 1),
    "top_k_accuracy": ("top-{top_k} accuracy, %", "{:.1f}", 100),
    "superclass_accuracy": ("superclass accuracy, %", "{:.1f}", 100),
    "flip_accuracy": ("accuracy with mirror images, %", "{:.1f}", 100),
    "calibration_error": ("calibration error, points", "{:.1f}", 100),
}
NOTE = (
    "Accuracy in percent, loss as mean cross entropy in nats, both of the weights that were kept, "
    "without augmentation and DropBlock. *Last weights* are those after the last epoch. Parameters "
    "are the trainable ones; a multiply-add counts as two operations, training as three times the "
    "forward pass of all images seen (1 PFLOP = 10^15 operations). The superclass is that of the "
    "likeliest class. With mirror images: by the mean of an image's and its mirror image's "
    "probabilities, in two passes. Calibration error: the mean gap between confidence and "
    "accuracy, in 15 bins."
)
PUBLISHED_NOTE = (
    "Published: part 5 and 7 of the tutorial; part 6, the baseline, gives no figures of its own "
    "but “around 65 %”. The tutorial reports the last epoch and stops by the test set."
)
TITLES = {1: "The network", 2: "Both networks"}


def make(findings: Findings) -> Section:
    """Set the networks side by side."""
    results = findings.results
    table = summary_table(results, findings.params.evaluate.top_k)
    parts: list[Part] = [table, f"{describe_seeds(results)} {NOTE}"]
    if results.metadata["params"]["source"] == "cifar100" and results.scored == "test":
        published = published_table(results, findings.params.train.networks)
        parts += ["### Beside the published figures", published, PUBLISHED_NOTE]
    return Section(TITLES.get(len(results.networks), "All networks"), parts)


def summary_table(results: Results, top_k: int) -> pd.DataFrame:
    """Return the headline table, a column for each network: means and deviations over seeds."""
    rows: Rows = {
        "parameters": ("parameters", "{:,.0f}", 1),
        "MFLOP per image": ("flops", "{:,.1f}", 1e-6),
        "training compute, PFLOP": ("pflop", "{:.4f}", 1),
        "epochs run": ("epochs", "{:.0f}", 1),
        "best epoch": ("best_epoch", "{:.0f}", 1),
    }
    for split in SPLITS:
        for key, (label, form, scale) in SCORES.items():
            name = f"{split} {label.format(top_k=top_k)}"
            rows[name] = (f"best_{split}_{key}", form, scale)
    rows["test accuracy of the last weights, %"] = ("last_test_accuracy", "{:.1f}", 100)
    rows["test loss of the last weights"] = ("last_test_loss", "{:.3f}", 1)
    rows["training time, minutes"] = ("training_seconds", "{:.1f}", 1 / 60)
    rows["seconds per epoch"] = ("seconds_per_epoch", "{:.1f}", 1)
    rows["training images per second"] = ("images_per_second", "{:,.0f}", 1)
    rows["peak memory, MB"] = ("peak_memory_mb", "{:,.0f}", 1)
    return side_by_side(results, rows)


def published_table(results: Results, networks: list[str]) -> pd.DataFrame:
    """Return the tutorial's published figures beside this run's.

    Args:
        networks: the sections of params.yaml, in the order of results.networks.
    """
    columns = ["train accuracy, %", "train loss", "test accuracy, %", "test loss"]
    table = pd.DataFrame(tutorial.published(), index=columns).T
    keys = [f"best_{split}_{what}" for split in ("train", "test") for what in ("accuracy", "loss")]
    for network, name in zip(networks, results.networks, strict=True):
        if name in results.names:
            part = tutorial.part_of(network)
            label = f"this run: {name}" + (f" (part {part})" if part else "")
            mean = results.of_network(name)[keys].mean()
            table.loc[label] = mean.to_numpy() * [100, 1, 100, 1]
    forms = {c: "{:.1f}".format if "%" in c else "{:.3f}".format for c in columns}
    return pd.DataFrame({c: table[c].map(f) for c, f in forms.items()}).rename_axis("")
