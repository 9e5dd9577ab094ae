import numpy as np
import pytest

from pipeline.reporting.comparison import compare
from pipeline.reporting.sections.difference import (
    FEW,
    few_differ,
    plot_seeds,
    questions,
    seed_accuracies,
    seeds_table,
)
from tests.reporting.conftest import results_of


def test_each_seeds_models_are_compared_on_the_same_images(loaded):
    one = loaded.of("dropblock")
    table = seeds_table(one, "resnet")
    baseline, resnet = (one.hits(name)[1] for name in ("baseline", "resnet"))
    assert table.loc[1, "only resnet right"] == (resnet & ~baseline).sum()
    assert table.loc[1, "baseline, %"] == f"{100 * baseline.mean():.2f}"


def agreeing(seeds, images=400):
    """Two networks whose seeds agree on all images but a few, and that differ in many images."""
    rng = np.random.default_rng(0)
    pair = [np.repeat(rng.random((1, images)) < share, seeds, axis=0) for share in (0.4, 0.6)]
    for seed in range(seeds):
        pair[1][seed, : seed % 3] ^= True
    return compare(*pair, list(range(seeds)))


def test_what_is_not_promised_about_other_images_is_said():
    table, said = questions(agreeing(6))
    assert table.index.tolist() == [
        "other seeds, these test images", "other seeds and other test images",
    ]  # fmt: skip
    assert "the p-value is too small, and the first interval may be too narrow" in said
    assert table.loc["other seeds and other test images", "p, sign flips"] == ""


def test_where_the_seeds_are_the_larger_part_nothing_is_taken_back():
    rng = np.random.default_rng(1)
    shares = np.array([[0.5], [0.6], [0.4]])
    found = compare(rng.random((3, 500)) < 0.5, rng.random((3, 500)) < shares, [0, 1, 2])
    assert questions(found)[1] == "Here most of the uncertainty comes from the seeds."


def test_a_single_seeds_interval_says_that_it_is_over_the_images():
    (table,) = questions(agreeing(1))
    assert table.index.tolist() == ["other test images, these two models"]


def test_each_seed_stands_on_a_line_of_its_own(loaded):
    accuracies = seed_accuracies(loaded.of("dropblock"), ["baseline", "resnet"])
    axis = plot_seeds(accuracies).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["seed 0", "seed 1"]
    drawn = {tuple(place) for points in axis.collections[1:] for place in points.get_offsets()}
    expected = zip(accuracies["accuracy"], accuracies["seed"], strict=True)
    np.testing.assert_allclose(sorted(drawn), sorted(expected))


@pytest.mark.parametrize(("seeds", "wrong", "said"), [(1, 4, True), (1, 30, False), (2, 4, False)])
def test_an_interval_that_rests_on_few_images_is_not_called_exact(seeds, wrong, said):
    labels = np.zeros(300, int)
    better, worse = np.tile([0.0, -9.0], (300, 1)), np.tile([0.0, -9.0], (300, 1))
    worse[:wrong] = [-9.0, 0.0]
    predictions = {(name, "dropblock", seed): values for seed in range(seeds)
                   for name, values in (("baseline", better), ("resnet", worse))}  # fmt: skip
    parts = few_differ(results_of(predictions, labels), "resnet")
    assert parts == ([FEW.format(images=4)] if said else [])
