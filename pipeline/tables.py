"""The report's tables, as pandas tables with formatted cells or plain numbers."""

import numpy as np
import pandas as pd

from pipeline import tutorial
from pipeline.comparison import compare, interval, mcnemar
from pipeline.results import NAMES, Results
from pipeline.scores import calibration_error, calibration_table

BASELINE, RESNET = NAMES
SPLITS = ("train", "val", "test")
SCORES = {
    "accuracy": ("accuracy, %", "{:.1f}", 100),
    "loss": ("loss", "{:.3f}", 1),
    "top_k_accuracy": ("top-{top_k} accuracy, %", "{:.1f}", 100),
    "superclass_accuracy": ("superclass accuracy, %", "{:.1f}", 100),
    "calibration_error": ("calibration error, points", "{:.1f}", 100),
}


def summary_table(results: Results, top_k: int) -> pd.DataFrame:
    """Return the headline table, a column for each network: means and deviations over seeds."""
    rows = {
        "parameters": ("parameters", "{:,.0f}", 1),
        "MFLOP per image": ("flops", "{:,.1f}", 1e-6),
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
    cells = {
        label: {
            name: mean_and_spread(results.metrics.query("network == @name")[key] * scale, form)
            for name in results.names
        }
        for label, (key, form, scale) in rows.items()
        if key in results.metrics
    }
    return pd.DataFrame(cells).T.rename_axis("")


def mean_and_spread(values: pd.Series, form: str) -> str:
    """Write a mean with its standard deviation, where there are several different values."""
    mean = form.format(values.mean())
    return mean if values.nunique() <= 1 else f"{mean} ± {form.format(values.std())}"


def published_table(results: Results) -> pd.DataFrame:
    """Return the tutorial's published figures beside this run's."""
    columns = ["train accuracy, %", "train loss", "test accuracy, %", "test loss"]
    table = pd.DataFrame(tutorial.PUBLISHED, index=columns).T
    keys = [f"best_{split}_{what}" for split in ("train", "test") for what in ("accuracy", "loss")]
    for name, part in zip(NAMES, (6, 7), strict=True):
        if name in results.names:
            mean = results.metrics.query("network == @name")[keys].mean()
            table.loc[f"this run: {name} (part {part})"] = mean.to_numpy() * [100, 1, 100, 1]
    forms = {c: "{:.1f}".format if "%" in c else "{:.3f}".format for c in columns}
    return pd.DataFrame({c: table[c].map(f) for c, f in forms.items()}).rename_axis("")


def seeds_table(results: Results) -> pd.DataFrame:
    """Compare the two fitted models of each seed: accuracies, difference, McNemar's test."""
    rows = []
    for seed in results.paired_seeds:
        baseline, resnet = (results.hits(name, [seed])[0] for name in NAMES)
        only_baseline, only_resnet, p_value = mcnemar(baseline, resnet)
        rows.append(
            {
                "seed": seed,
                "baseline, %": f"{100 * baseline.mean():.2f}",
                "resnet, %": f"{100 * resnet.mean():.2f}",
                "difference, points": f"{100 * (resnet.mean() - baseline.mean()):+.2f}",
                "only baseline right": only_baseline,
                "only resnet right": only_resnet,
                "McNemar p": format_p(p_value),
            }
        )
    return pd.DataFrame(rows).set_index("seed")


def format_p(p_value: float) -> str:
    """Write a p-value with three digits, tiny ones as a bound."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def levels_table(results: Results, levels: list[float]) -> pd.DataFrame:
    """Return the epochs and the training seconds until the watched accuracy reached each level.

    Means over the seeds that reached it; levels that no training reached are left out.
    """
    trainings = list(results.history.groupby(["network", "seed"]))
    rows = []
    for level in sorted(levels):
        row = {"accuracy": f"{100 * level:.0f} %"}
        for name in results.names:
            reached = [
                curve[curve["watched_accuracy"] >= level].iloc[0]
                for (network, _), curve in trainings
                if network == name and (curve["watched_accuracy"] >= level).any()
            ]
            row |= _first_time(name, reached, len(results.seeds(name)))
        if any(value != "never" for value in list(row.values())[1:]):
            rows.append(row)
    return pd.DataFrame(rows).set_index("accuracy") if rows else pd.DataFrame()


def _first_time(name: str, reached: list[pd.Series], trainings: int) -> dict[str, str]:
    if not reached:
        return {f"{name}: epochs": "never", f"{name}: seconds": "never"}
    epochs, seconds = (np.mean([row[key] for row in reached]) for key in ("epoch", "elapsed"))
    some = "" if len(reached) == trainings else f" ({len(reached)} of {trainings} seeds)"
    return {f"{name}: epochs": f"{epochs:.1f}{some}", f"{name}: seconds": f"{seconds:,.0f}{some}"}


def gap_table(results: Results) -> pd.DataFrame:
    """Return the generalisation gap of the kept weights: training minus test, without dropout."""
    cells = {}
    for name in results.names:
        rows = results.metrics.query("network == @name")
        accuracy = 100 * (rows["best_train_accuracy"] - rows["best_test_accuracy"])
        loss = rows["best_test_loss"] - rows["best_train_loss"]
        cells[name] = {
            "accuracy, training minus test, points": mean_and_spread(accuracy, "{:.1f}"),
            "loss, test minus training, nats": mean_and_spread(loss, "{:.3f}"),
        }
    return pd.DataFrame(cells).rename_axis("")


def calibration_by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Return the calibration table of each network, all seeds together."""
    return {
        name: calibration_table(
            np.concatenate(list(results.of_network(name).values())),
            np.tile(results.test.labels, len(results.of_network(name))),
        )
        for name in results.names
    }


def describe_calibration(tables: dict[str, pd.DataFrame]) -> str:
    """Say for each network whether it claims too much or too little, in points."""
    sentences = []
    for name, table in tables.items():
        claimed, true = (np.average(table[c], weights=table["count"]) for c in table.columns[:2])
        tendency = "over" if claimed > true else "under"
        sentences.append(
            f"{name}: mean confidence {100 * claimed:.1f} %, accuracy {100 * true:.1f} % "
            f"({tendency}confident), expected calibration error "
            f"{100 * calibration_error(table):.1f} points"
        )
    return "; ".join(sentences) + "."


def confusions(results: Results, name: str, most: int) -> pd.DataFrame:
    """Return a network's most frequent errors, and how often the other makes the same.

    In percent of the actual class's test images, over all seeds. `change` below zero: the other
    network resolves the pair.
    """
    shares = {network: _confusion_shares(results, network) for network in results.names}
    errors = shares[name]
    errors = errors[errors.index.get_level_values(0) != errors.index.get_level_values(1)]
    top = errors[errors > 0].sort_values(ascending=False, kind="stable").head(most)
    names = np.array(results.metadata["class_names"])
    table = pd.DataFrame(
        {
            "actual": names[top.index.get_level_values(0)],
            "predicted": names[top.index.get_level_values(1)],
            f"{name}, %": top.to_numpy(),
        }
    )
    for other in (network for network in results.names if network != name):
        table[f"{other}, %"] = shares[other].reindex(top.index, fill_value=0.0).to_numpy()
        table["change"] = table[f"{other}, %"] - table[f"{name}, %"]
    return table


def _confusion_shares(results: Results, name: str) -> pd.Series:
    """Return the share of each (actual, predicted) pair in percent of the actual class."""
    predictions = results.of_network(name)
    predicted = np.concatenate([values.argmax(axis=1) for values in predictions.values()])
    actual = np.tile(results.test.labels, len(predictions))
    shares = pd.crosstab(actual, predicted, normalize="index")
    return 100 * shares.rename_axis(index="actual", columns="predicted").stack()


def drop_block_table(results: Results) -> pd.DataFrame:
    """Return the blocks' size and the dropped share of each layer, of each network's first seed."""
    rows = [
        {
            "network": name,
            "layer": row["layer"],
            "map": row["map"],
            "block in effect": row["block_size"] or "none",
            "1 - keep, %": f"{100 * row['to_drop']:.1f}",
            "expected, %": f"{100 * row['expected']:.2f}",
            "measured, %": f"{100 * row['measured']:.2f}",
        }
        for name in results.names
        for row in results.metrics.query("network == @name")["drop_blocks"].iloc[0]
    ]
    return pd.DataFrame(rows).set_index("network") if rows else pd.DataFrame()


def ablation_table(results: Results, samples: int) -> pd.DataFrame:
    """Return the test accuracy of each network with and without DropBlock, and the differences."""
    hits = {
        (name, variant): results.of(variant).hits(name, results.of(variant).paired_seeds)
        for name in NAMES
        for variant in results.variants
    }
    labels = {"dropblock": "with DropBlock", "nodrop": "without DropBlock"}
    table = {
        labels[variant]: {
            **{name: _with_interval(hits[name, variant], samples) for name in NAMES},
            "resnet minus baseline": _points(
                hits[RESNET, variant], hits[BASELINE, variant], samples
            ),
        }
        for variant in results.variants
    }
    shared = {variant: results.of(variant).paired_seeds for variant in results.variants}
    if shared["dropblock"] == shared["nodrop"]:
        table["what DropBlock adds"] = {
            name: _points(hits[name, "dropblock"], hits[name, "nodrop"], samples) for name in NAMES
        }
    return pd.DataFrame(table).T.fillna("").rename_axis("")


def _with_interval(hits: np.ndarray, samples: int) -> str:
    found = interval(hits.astype(float), samples)
    return f"{100 * found.mean:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _points(more: np.ndarray, less: np.ndarray, samples: int) -> str:
    found = compare(less, more, list(range(len(more))), samples).difference
    return f"{100 * found.mean:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def duplicates_table(results: Results, samples: int) -> pd.DataFrame:
    """Return the test accuracy on all images, and without those that have a duplicate."""
    unique = results.test.unique
    rows = {f"all {len(unique):,} test images": np.ones(len(unique), bool)}
    rows[f"without duplicates, {unique.sum():,}"] = unique
    rows[f"the duplicates left out, {(~unique).sum():,}"] = ~unique
    table = {}
    for label, chosen in rows.items():
        if chosen.any():
            hits = {n: results.hits(n, results.paired_seeds)[:, chosen] for n in NAMES}
            table[label] = {
                **{name: f"{100 * hits[name].mean():.2f} %" for name in NAMES},
                "difference": _points(hits[RESNET], hits[BASELINE], samples),
            }
    return pd.DataFrame(table).T.rename_axis("")
