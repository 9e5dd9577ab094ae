"""The report's sentences: who is ahead, how sure that is, under which protocol."""

from typing import Any

import pandas as pd

from pipeline import tutorial
from pipeline.comparison import SEEDS_NEEDED, Comparison
from pipeline.params import Params
from pipeline.results import DIGEST_SHOWN, NAMES, Results
from pipeline.tables import format_p

BASELINE, RESNET = NAMES


def headline(results: Results, comparison: Comparison | None) -> str:
    """Say in one sentence who is ahead on the test set, how sure that is, and at what cost."""
    source = results.metadata["params"]["source"]
    means = 100 * results.metrics.groupby("network")["best_test_accuracy"].mean()
    accuracy = ", ".join(f"{name} {means[name]:.1f} %" for name in reversed(results.names))
    start = f"{source}: {accuracy} test accuracy"
    if comparison is None:
        return f"{start}; no comparison, see the warnings."
    return f"{start}; {_ahead(comparison)}, {_certainty(comparison)}; {cost(results)}."


def _ahead(comparison: Comparison) -> str:
    mean = 100 * comparison.difference.mean
    low, high = sorted(100 * b for b in (comparison.difference.low, comparison.difference.high))
    between = f"(95 % interval {low:+.1f} to {high:+.1f}, resnet minus baseline)"
    if mean == 0:
        return f"no difference {between}"
    return f"the {RESNET if mean > 0 else BASELINE} is ahead by {abs(mean):.1f} points {between}"


def _certainty(comparison: Comparison) -> str:
    seeds = len(comparison.by_seed)
    over = f"p = {comparison.p_value:.2g} over " if seeds > 1 else "over "
    over += "1 seed" if seeds == 1 else f"{seeds} paired seeds"
    if not comparison.enough_seeds:
        return f"{over}: too few seeds to say more than that"
    if comparison.significant:
        return f"{over}: evidence of a difference"
    return f"{over}: no evidence of a difference"


def cost(results: Results) -> str:
    """Say what the resnet costs beside the baseline."""
    mean = results.metrics.groupby("network")[
        ["parameters", "flops", "seconds_per_epoch", "images_per_second"]
    ].mean()
    ratio = mean.loc[RESNET] / mean.loc[BASELINE]
    return (
        f"the resnet has {ratio['parameters']:.1f} times the parameters and "
        f"{ratio['flops']:.1f} times the FLOPs, and takes "
        f"{mean.loc[RESNET, 'seconds_per_epoch']:.1f} s an epoch instead of "
        f"{mean.loc[BASELINE, 'seconds_per_epoch']:.1f} s "
        f"({mean.loc[RESNET, 'images_per_second']:,.0f} against "
        f"{mean.loc[BASELINE, 'images_per_second']:,.0f} images/s)"
    )


def verdict(comparison: Comparison | None) -> str:
    """Say what may be claimed about the two methods."""
    if comparison is None:
        return "**No verdict: the results are not complete.**"
    seeds = len(comparison.by_seed)
    if not comparison.enough_seeds:
        least = 2 / 2**seeds
        reason = (
            f"with {seeds} paired seed{'s' if seeds > 1 else ''} the two-sided p-value of sign "
            f"flips cannot fall below {min(1.0, least):.3g}, and 0.05 takes {SEEDS_NEEDED}"
        )
        return f"**Not enough evidence about the two methods:** {reason}." + _only_images(seeds)
    if comparison.significant:
        better = RESNET if comparison.difference.mean > 0 else BASELINE
        return (
            f"**The {better} is the better method here** (p = {format_p(comparison.p_value)} by "
            f"sign flips over {seeds} paired seeds; the interval of the difference excludes zero)."
        )
    return (
        f"**No evidence of a difference between the two methods** (p = "
        f"{format_p(comparison.p_value)} by sign flips over {seeds} paired seeds)."
    )


def _only_images(seeds: int) -> str:
    if seeds > 1:
        return ""
    return (
        " The interval above is of these two fitted models: it covers the choice of test images, "
        "not how much another seed would change."
    )


def warnings(results: Results) -> list[str]:
    """Name what keeps the results from being complete or comparable."""
    said = []
    if results.missing:
        said.append(f"No results of {', '.join(results.missing)}; `dvc repro` makes them.")
    absent = [name for name in NAMES if name not in results.names]
    if absent:
        said.append(f"The {' and the '.join(absent)} is missing, so that nothing can be compared.")
    elif not results.paired_seeds:
        said.append("The networks have no seed in common, so that nothing can be compared.")
    elif results.seeds(BASELINE) != results.seeds(RESNET):
        paired = ", ".join(map(str, results.paired_seeds))
        said.append(f"Only the seeds that both networks have ({paired}) are compared.")
    if results.diverged:
        said.append(
            f"Not a number in the losses or predictions of {'; '.join(results.diverged)}; no "
            "verdict is given. Try a lower learning_rate."
        )
    return said


def describe_seeds(results: Results) -> str:
    """Say over which seeds the tables' figures are."""
    seeds = {name: ", ".join(map(str, results.seeds(name))) for name in results.names}
    if len(set(seeds.values())) == 1:
        listed = next(iter(seeds.values()))
    else:
        listed = "; ".join(f"{name}: {s}" for name, s in seeds.items())
    several = any(len(results.seeds(name)) > 1 for name in results.names)
    kind = "Means ± standard deviations over the seeds" if several else "Seed"
    return f"{kind} {listed}."


def describe_classes(table: pd.DataFrame) -> str:
    """Say in how many classes the difference is more than chance."""
    certain = table[table["significant"]]
    better, worse = (certain["difference"] > 0).sum(), (certain["difference"] < 0).sum()
    return (
        f"Of {len(table)} classes the {RESNET} is better in {better} and the {BASELINE} in {worse} "
        "by more than chance (sign test over each class's test images, false discovery rate held "
        "at 5 %; it speaks of these fitted models)."
    )


def describe_duplicates(metadata: dict[str, Any]) -> str:
    """Say how many duplicates there are and by which threshold."""
    found, threshold = metadata["duplicates"], metadata["params"]["duplicate_correlation"]
    rule = (
        "only images with equal pixels count as duplicates (data.duplicate_correlation is null)"
        if threshold is None
        else f"the details of two images correlate by {threshold} or more, or they are equal"
    )
    known = (
        " Published for CIFAR-100 (ciFAIR, by a network's features and by eye): 891 of the test "
        "images have a duplicate in the training set and 104 in the test set."
        if metadata["params"]["source"] == "cifar100"
        else ""
    )
    return (
        f"{found['within_training']:,} training and validation images have a duplicate among "
        f"themselves, all of them kept in the training split; {found['test_of_training']:,} test "
        f"images repeat a training or validation image, and {found['within_test']:,} have a twin "
        f"in the test set. The rule: {rule}.{known}"
    )


def protocol(results: Results, params: Params) -> list[str]:
    """List data, splits, who chose the epoch, software, hardware and commit."""
    metadata, first = results.metadata, results.metrics.iloc[0]
    images, digest = metadata["images"], metadata["digest"][:DIGEST_SHOWN]
    machine = first["machine"]
    commits = sorted(
        {
            f"{row.git_commit[:10] or 'no git'}{' with changes' if row.git_dirty == 'true' else ''}"
            for row in results.metrics.itertuples()
        }
    )
    if results.watched == "test":
        choice = (
            "**The tutorial's own protocol: there is no validation split. The test set decided "
            "when to stop, and the last epoch's weights are scored, so the test figures are "
            "flattered.**"
        )
    else:
        choice = (
            "The validation images chose the epoch and stopped the training; the test images were "
            "read once, at the end."
        )
    return [
        f"Data: {metadata['params']['source']}, prepared digest {digest}; {images['train']:,} "
        f"training, {images['val']:,} validation, {images['test']:,} test images of "
        f"{len(metadata['class_names'])} classes; split by seed {metadata['params']['seed']}.",
        choice,
        f"Widths: {params.baseline.width} (baseline), {params.model.width} (resnet); at most "
        f"{params.baseline.epochs} and {params.model.epochs} epochs. {describe_seeds(results)}",
        f"Software: TensorFlow {first['tensorflow']}, Keras {first['keras']}, Python "
        f"{machine['python']}; precision {first['precision']}.",
        f"Hardware: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}; devices {', '.join(first['devices'])}.",
        f"Trained at git commit {', '.join(commits)}.",
    ]


def differences_from_the_tutorial(params: Params) -> str:
    """Name all params that are not the tutorial's."""
    found = tutorial.differences(params.model_dump())
    if not found:
        return "Every number is the tutorial's."
    named = ", ".join(f"{key} {value} ({theirs})" for key, value, theirs in found)
    return f"Different from the tutorial, whose value stands in brackets: {named}."
