"""Simulate how often the report's intervals contain the truth, and how often p is falsely small.

Each repetition draws right or wrong answers of two networks with paired seeds on the same images,
and passes them to the report's own `compare`. We vary the number of seeds, and whether the spread
of the difference comes from the seeds, from some seeds that collapse, or from the choice of test
images. The truth is known: `these images` is the expected difference on the images drawn,
`new images` the expected difference over all images.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy import stats

from benchmarks.measure import make_parser, save
from pipeline.reporting.comparison import Comparison, compare
from pipeline.reporting.p_values import LEVEL
from pipeline.reporting.sequential import DECIDED, e_values

SEEDS = (2, 3, 6, 10)
MOST = 20  # seeds of `sweep --until-decided`
BOOTSTRAP_SAMPLES = 500
DIFFERENCE = 0.05  # between the two networks over all images, unless it is null
SEED_SPREAD = 0.02  # standard deviation of the seeds' differences, if seeds dominate
# The share of seeds that collapse, and the accuracy they lose. With 2,000 images the others' spread
# is 1.6 points. A third that lose a dozen times as much: the laptop preset's first resnets, some of
# which lost a colour. One in ten that loses 7 or 20 times as much: 3.5 or 10 points where the
# others spread by 0.5, as that preset's validation accuracies do.
COLLAPSES = {
    "collapses": (1 / 3, 0.2),
    "rare collapses": (0.1, 0.11),
    "rare deep collapses": (0.1, 0.32),
}
DOMINATED_BY = ("seeds", *COLLAPSES, "images")
SURE, SWAPPED = 0.9, 0.2  # if images dominate: the gap in probability, the share that differs


def draw_answers(
    rng: np.random.Generator, dominated_by: str, seeds: int, images: int, null: str | None
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Draw (seeds, images) answers of two networks; return them and the true differences.

    If seeds dominate, each seed shifts the accuracy on all images equally: symmetrically or, if
    seeds collapse, for some of them far down. If images dominate, nearly all seeds agree on an
    image, and the networks differ on a fifth of the images.

    Args:
        null: "these images" or "new images": where the true difference is 0. None: it is 0.05.
    """
    truth = 0.0 if null else DIFFERENCE
    if dominated_by != "images":
        shift = truth + _seed_shifts(rng, dominated_by, seeds)
        easy, by_image = rng.uniform(0.35, 0.6, images), np.zeros(images)
    else:
        easy = np.where(np.arange(images) % 2 == 0, 0.5 - SURE / 2, 0.5 + SURE / 2)
        shift, by_image = 0.0, _swaps(rng, images, truth, null == "these images")
    reference = rng.random((seeds, images), np.float32) < easy
    other = rng.random((seeds, images), np.float32) < easy + by_image + shift
    fixed = 0.0 if dominated_by == "images" else truth
    return reference, other, {"these images": fixed + by_image.mean(), "new images": truth}


def _seed_shifts(rng: np.random.Generator, dominated_by: str, seeds: int) -> np.ndarray:
    """Return how much likelier each seed, (seeds, 1), is to be right on any image; mean 0."""
    if dominated_by in COLLAPSES:
        share, lost = COLLAPSES[dominated_by]
        return lost * (share - (rng.random((seeds, 1)) < share))
    # Uniform numbers with this standard deviation keep all probabilities between 0 and 1.
    return SEED_SPREAD * 3**0.5 * rng.uniform(-1, 1, (seeds, 1))


def _swaps(rng: np.random.Generator, images: int, truth: float, balanced: bool) -> np.ndarray:
    """Return how much likelier each image is to be right: even ones may gain, odd ones may lose."""
    half = images // 2
    shares = np.array([SWAPPED + truth / SURE, SWAPPED - truth / SURE])
    counts = [round(SWAPPED * half)] * 2 if balanced else rng.binomial(half, shares)
    by_image = np.zeros(images)
    for start, count, sign in zip((0, 1), counts, (1, -1), strict=True):
        by_image[start + 2 * rng.permutation(half)[:count]] = sign * SURE
    return by_image


def bootstrap_covers(by_seed: np.ndarray, truth: float, rng: np.random.Generator) -> bool:
    """Whether a percentile bootstrap of the seeds covers the truth, for comparison."""
    drawn = rng.choice(by_seed, (BOOTSTRAP_SAMPLES, len(by_seed))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return bool(low <= truth <= high)


def repeat(dominated_by: str, seeds: int, images: int, repetitions: int) -> list[dict[str, object]]:
    """Return the intervals' coverage and the tests' size for one setting, one row per question."""
    rng = np.random.default_rng([seeds, images])
    covered = dict.fromkeys(("these images", "new images", "t alone", "bootstrap"), 0)
    rejected = dict.fromkeys(("these images", "new images"), 0)
    for _ in range(repetitions):
        *answers, truth = draw_answers(rng, dominated_by, seeds, images, None)
        found = compare(*answers, list(range(seeds)))
        covered["these images"] += covers(found, "difference", truth["these images"])
        covered["new images"] += covers(found, "new_images", truth["new images"])
        covered["t alone"] += covers(found, "difference", truth["new images"])
        by_seed = np.array(list(found.by_seed.values()))
        covered["bootstrap"] += bootstrap_covers(by_seed, truth["these images"], rng)
        for null in rejected:
            *answers, _ = draw_answers(rng, dominated_by, seeds, images, null)
            rejected[null] += compare(*answers, list(range(seeds))).p_value < LEVEL
    setting = {"dominated by": dominated_by, "seeds": seeds}
    names = {
        "t over seeds": ("these images", covered["these images"]),
        "bootstrap of seeds": ("these images", covered["bootstrap"]),
        "seeds and images": ("new images", covered["new images"]),
        "t over seeds alone": ("new images", covered["t alone"]),
    }
    rows = [
        {**setting, "about": about, "what": f"coverage, {name}", "share": count / repetitions}
        for name, (about, count) in names.items()
    ]
    return rows + [
        {**setting, "about": about, "what": "p below 0.05 under the null", "share": n / repetitions}
        for about, n in rejected.items()
    ]


def repeat_until_decided(dominated_by: str, images: int, repetitions: int) -> dict[str, object]:
    """Return how often, and after how many seeds, the evidence of a difference is enough."""
    rng = np.random.default_rng(images)
    row: dict[str, object] = {"dominated by": dominated_by, "seeds at most": MOST}
    for truth, null in (("without a difference", "these images"), ("with 5 points", None)):
        seeds = []
        for _ in range(repetitions):
            reference, other, _ = draw_answers(rng, dominated_by, MOST, images, null)
            enough = e_values(other.mean(axis=1) - reference.mean(axis=1)) >= DECIDED
            seeds.append(np.argmax(enough) + 1 if enough.any() else np.nan)
        row[f"decided {truth}"] = float(np.isfinite(seeds).mean())
        row[f"median seeds {truth}"] = float(np.nanmedian(seeds))
    return row


def covers(found: Comparison, which: str, truth: float) -> bool:
    """Whether an interval of a comparison covers the truth."""
    interval = getattr(found, which)
    return bool(interval.low <= truth <= interval.high)


def main() -> None:
    """Run the simulation."""
    parser = make_parser(__doc__)
    parser.add_argument("--spread", choices=DOMINATED_BY, help="one source only; default: all")
    parser.add_argument("--until-decided", action="store_true", help="simulate that rule instead")
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=2_000)
    arguments = parser.parse_args()
    repetitions, images = arguments.repetitions, arguments.images
    rows: list[dict[str, object]] = []
    for dominated_by in [arguments.spread] if arguments.spread else DOMINATED_BY:
        if arguments.until_decided:
            rows.append(repeat_until_decided(dominated_by, images, repetitions))
            print(rows[-1], flush=True)
            continue
        for seeds in SEEDS:
            rows += repeat(dominated_by, seeds, images, repetitions)
            print(pd.DataFrame(rows[-6:]).to_string(index=False, header=False), flush=True)
    error = stats.norm.ppf(0.975) * np.sqrt(0.95 * 0.05 / repetitions)
    name, draw = ("until_decided", plot_decided) if arguments.until_decided else ("coverage", plot)
    facts = {"repetitions": repetitions, "images": images, "simulation_error": round(error, 4)}
    save(name, pd.DataFrame(rows), draw, **facts)


def plot(table: pd.DataFrame) -> Figure:
    """Plot coverage and size against the number of seeds, with a panel per source of spread."""
    table = table.assign(label=table["what"].str.removeprefix("coverage, ") + ": " + table["about"])
    figure, axes = plt.subplots(
        2,
        table["dominated by"].nunique(),
        figsize=(22, 7),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="tight",
    )
    for column, (source, rows) in zip(
        axes.T, table.groupby("dominated by", sort=False), strict=True
    ):
        covering = rows["what"].str.startswith("coverage")
        for axis, kind, line in zip(column, (covering, ~covering), (0.95, LEVEL), strict=True):
            sns.lineplot(
                rows[kind], x="seeds", y="share", hue="label", style="label", markers=True, ax=axis
            )
            axis.axhline(line, color="black", linewidth=0.8, linestyle=":")
            axis.legend(fontsize="small", title="")
            axis.set_xticks(SEEDS)
        column[0].set(title=f"spread from {source}", ylabel="coverage", ylim=(0.2, 1.01))
        column[1].set(xlabel="paired seeds", ylabel="p < 0.05 under the null")
    axes[1, 0].set_ylim(bottom=0)
    return figure


def plot_decided(table: pd.DataFrame) -> Figure:
    """Plot how often the e-value is large enough, without and with a difference."""
    columns = ["decided without a difference", "decided with 5 points"]
    long = table.melt("dominated by", columns, "truth", "share of simulations")
    figure, axis = plt.subplots(figsize=(8, 3.5), layout="tight")
    sns.barplot(long, x="share of simulations", y="dominated by", hue="truth", ax=axis)
    axis.axvline(LEVEL, color="black", linewidth=0.8, linestyle=":")
    axis.legend(title="")
    return figure


if __name__ == "__main__":
    main()
