"""The networks side by side: size, scores, time; and the tutorial's published results."""

import pandas as pd

from pipeline.core.records import SPLIT_NAMES, SPLITS
from pipeline.reporting import tutorial
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import (
    COMPUTE,
    MINUTES,
    PARAMETERS,
    PERCENT,
    Rows,
    all_networks,
    capitalised,
    flop,
    side_by_side,
)
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section

ABOUT = "All scores, sizes and times."

SCORES = {
    "accuracy": ("accuracy, %", *PERCENT),
    "balanced_accuracy": ("balanced accuracy, %", *PERCENT),
    "loss": ("loss", "{:.3f}".format, 1),
    "top_k_accuracy": ("top-{top_k} accuracy, %", *PERCENT),
    "superclass_accuracy": ("superclass accuracy, %", *PERCENT),
    "flip_accuracy": ("accuracy with mirror images, %", *PERCENT),
    "calibration_error": ("calibration error, points", *PERCENT),
}
NOTE = (
    "Accuracy is in percent, loss is the mean cross entropy in nats. Both are of the kept weights, "
    "without augmentation and dropout. Only trainable parameters are counted. A multiply-add "
    "counts as two operations; training costs three forward passes per image seen (1 GFLOP = 10^9 "
    "operations)."
)
# Notes on scores that not every run has.
SCORE_NOTES = {
    "balanced_accuracy": (
        "The classes have unequal numbers of training images: balanced accuracy is the mean of the "
        "classes' accuracies, in which each class counts the same."
    ),
    "superclass_accuracy": "The predicted superclass is that of the most likely class.",
    "flip_accuracy": (
        "With mirror images: the probabilities of an image and its mirror image are averaged (two "
        "forward passes)."
    ),
    "calibration_error": (
        "Calibration error: the mean gap between confidence and accuracy, in 15 bins."
    ),
}
PUBLISHED_NOTE = (
    "The tutorial's figures are from its parts 5 and 7; for the baseline, part 6 says only "
    "“around 65 %”. The tutorial reports the last epoch and uses the test set for early stopping."
)


def make(findings: Findings) -> Section:
    """Set the networks side by side."""
    results = findings.results
    table = summary_table(results, findings.params.evaluate.top_k)
    notes = [NOTE, *(note for key, note in SCORE_NOTES.items() if has_score(results, key))]
    parts: list[Part] = [table, " ".join(notes)]
    if results.metadata["params"]["source"] == "cifar100" and results.scored == "test":
        published = published_table(results, findings.params.train.networks)
        parts += ["### Comparison with the tutorial's figures", published, PUBLISHED_NOTE]
    return Section(capitalised(all_networks(results)), ABOUT, parts)


def has_score(results: Results, key: str) -> bool:
    """Return whether one of SCORES exists."""
    return any(f"best_{split}_{key}" in results.metrics for split in SPLITS)


def summary_table(results: Results, top_k: int) -> pd.DataFrame:
    """Return all scores, one column per network: means and deviations over seeds."""
    rows: Rows = {
        "parameters": PARAMETERS,
        "compute of a forward pass": ("flops", flop, 1),
        "training compute": COMPUTE,
        "epochs run": ("epochs", "{:.0f}".format, 1),
        "best epoch": ("best_epoch", "{:.0f}".format, 1),
    }
    for split in SPLITS:
        for key, (label, form, scale) in SCORES.items():
            name = f"{SPLIT_NAMES[split]} {label.format(top_k=top_k)}"
            rows[name] = (f"best_{split}_{key}", form, scale)
    scored = SPLIT_NAMES[results.scored]
    rows[f"accuracy, train minus {scored}, points"] = ("accuracy_gap", *PERCENT)
    rows[f"loss, {scored} minus train"] = ("loss_gap", "{:.3f}".format, 1)
    if not results.metrics["best_epoch"].equals(results.metrics["epochs"]):
        rows["test accuracy after the last epoch, %"] = ("last_test_accuracy", *PERCENT)
        rows["test loss after the last epoch"] = ("last_test_loss", "{:.3f}".format, 1)
    rows["training time, minutes"] = MINUTES
    rows["seconds per epoch"] = ("seconds_per_epoch", "{:.1f}".format, 1)
    rows["training images per second"] = ("images_per_second", "{:,.0f}".format, 1)
    rows["peak memory, MB"] = ("peak_memory_mb", "{:,.0f}".format, 1)
    return side_by_side(results, rows)


def published_table(results: Results, networks: list[str]) -> pd.DataFrame:
    """Return the tutorial's published results with this run's.

    Args:
        networks: the sections of params.yaml, in the order of results.networks.
    """
    columns = ["train accuracy, %", "train loss", "test accuracy, %", "test loss"]
    table = pd.DataFrame(tutorial.PUBLISHED, index=columns).T
    keys = [f"best_{split}_{what}" for split in ("train", "test") for what in ("accuracy", "loss")]
    for network, name in zip(networks, results.networks, strict=True):
        part = tutorial.PARTS.get(network)
        label = f"this run: {name}" + (f" (part {part})" if part else "")
        table.loc[label] = results.means.loc[name, keys].to_numpy() * [100, 1, 100, 1]
    forms = {c: "{:.1f}".format if "%" in c else "{:.3f}".format for c in columns}
    return pd.DataFrame({c: table[c].map(f) for c, f in forms.items()}).rename_axis("")
