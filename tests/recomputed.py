"""Recompute published results from the predictions published with them, using only SciPy."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats


def prose(file):
    """The text of a page without its line breaks."""
    return " ".join(file.read_text().split())


def table_rows(text):
    """The cells of each row of a page's tables."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def evidence(folder):
    """The committed figures, and whether each training has each image right, by its name."""
    figures = json.loads((folder / "comparison.json").read_text())
    return figures, right_answers(folder / "predictions.npz", figures["images"])


def right_answers(file, images):
    """Whether each training has each image right, (images,) zeros and ones by its name."""
    with np.load(file) as saved:
        bits = np.unpackbits(saved["right"], axis=1, count=images)
        rows = dict(zip(saved["names"].tolist(), saved["rows"].tolist(), strict=True))
    return {name: bits[row].astype(float) for name, row in rows.items()}


def interval_of(differences):
    found = stats.ttest_1samp(differences, 0)
    bounds = found.confidence_interval(0.95)
    return bounds.low, bounds.high


def assert_contrasts_follow(contrasts, right):
    """Recompute contrasts, all tested at once, as comparison.json has them."""
    tested = [c for c in contrasts if c["adjusted_p"] is not None]
    for said in contrasts:
        by_seed = contrast_of(right, said)
        assert by_seed.mean(axis=1) == pytest.approx(list(said["by_seed"].values()))
        assert said["mean"] == pytest.approx(by_seed.mean())
        if len(by_seed) > 1 and np.ptp(by_seed.mean(axis=1)):
            bounds = interval_of(by_seed.mean(axis=1))
            assert (said["low"], said["high"]) == pytest.approx(bounds)
    if tested:
        counts = np.array([contrast_of(right, said).sum(axis=1) for said in tested])
        assert [c["adjusted_p"] for c in tested] == pytest.approx(max_t(counts), abs=0.01)


def contrast_of(right, said):
    """(seeds, images) answers of a setting minus another's: its network's, or another network's."""

    def answers(experiments, network, seed):
        ends = f"/{network}/", f"/{seed}"
        return next(
            values
            for name, values in right.items()
            if name.split("/")[0] in experiments and ends[0] in name and name.endswith(ends[1])
        )

    network, other = said["network"], said.get("other", said["network"])
    return np.array(
        [
            answers(said["experiments"], network, seed) - answers(said["reference"], other, seed)
            for seed in said["by_seed"]
        ]
    )


def max_t(counts):
    """Step-down max-T by SciPy's t statistic, every flip of whole seeds."""
    flips = list(itertools.product([1, -1], repeat=counts.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        table = [np.abs(stats.ttest_1samp(counts * f, 0, axis=1).statistic) for f in flips]
    statistics = np.nan_to_num(np.array(table), nan=0.0)
    order, found, highest = np.argsort(-statistics[0]), np.empty(len(counts)), 0.0
    for step, contrast in enumerate(order):
        largest = statistics[:, order[step:]].max(axis=1)
        highest = max(highest, np.mean(largest >= statistics[0, contrast] * (1 - 1e-9)))
        found[contrast] = highest
    return found.tolist()


def two_way_parts(values):
    """What seeds and images add to the variance of the mean: a table of squares, by hand."""
    seeds, images = values.shape
    effects = values - values.mean()
    by_seed = effects.mean(axis=1, keepdims=True)
    by_image = effects.mean(axis=0, keepdims=True)
    rest = ((effects - by_seed - by_image) ** 2).sum() / ((seeds - 1) * (images - 1))
    between_seeds = images * (by_seed**2).sum() / (seeds - 1)
    between_images = seeds * (by_image**2).sum() / (images - 1)
    return between_seeds / values.size, max(0, between_images - rest) / values.size
