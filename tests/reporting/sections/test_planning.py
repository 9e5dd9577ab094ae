from dataclasses import replace

import numpy as np
import pytest

from pipeline.reporting.comparison import compare
from pipeline.reporting.findings import Findings
from pipeline.reporting.sections import planning
from pipeline.reporting.sections.planning import planning_table
from tests.reporting.conftest import predicting, results_of


@pytest.fixture
def results():
    keys = [(n, "dropblock", s) for n in ("baseline", "resnet") for s in range(3)]
    found = results_of(dict.fromkeys(keys, predicting([0])), [0])
    seconds = found.metrics["network"].map({"baseline": 60.0, "resnet": 240.0})
    found.metrics["training_seconds"] = seconds
    return found


def test_more_seeds_show_smaller_differences_and_cost_more(results):
    rng = np.random.default_rng(0)
    compared = compare(*(rng.random((3, 500)) < 0.5 for _ in range(2)), [0, 1, 2])
    table = planning_table(results, "resnet", compared)
    assert table.index.tolist() == [*range(3, 11), 12, 15, 20]
    shown = table["for an interval without 0, points"].astype(float)
    assert shown.is_monotonic_decreasing
    assert shown[3] == pytest.approx(100 * compared.spread * 3.264, rel=0.01)
    assert table["for a verdict, points"].tolist()[:3] == ["never"] * 3
    assert table.loc[6, ["trainings", "minutes"]].tolist() == [12, "30.0"]


def test_seeds_that_agree_exactly_are_not_taken_for_one_seed(results):
    images = np.random.default_rng(0).random((2, 500)) < 0.5
    agreed = [np.repeat(values[np.newaxis], 3, axis=0) for values in images]
    same = compare(*agreed, [0, 1, 2])
    assert planning._of_network(results, "resnet", same) == [planning.NO_SPREAD]


def test_more_seeds_than_one_include_the_one_that_is_trained():
    keys = [(name, "dropblock", 3) for name in ("baseline", "resnet")]
    alone = results_of(dict.fromkeys(keys, predicting([0])), [0])
    compared = compare(*(np.ones((1, 1), bool) for _ in range(2)), [3])
    (said,) = planning.make(Findings(None, alone, alone, {"resnet": compared})).parts
    assert "'train.seeds=[3,4,5]'" in said


def test_the_note_says_that_a_verdict_on_several_networks_needs_more(results):
    rng = np.random.default_rng(0)
    alone = compare(*(rng.random((3, 500)) < 0.5 for _ in range(2)), [0, 1, 2])
    said = [planning._of_network(results, "resnet", replace(alone, tests=n))[1] for n in (1, 2)]
    assert "p is adjusted for 2 comparisons" in said[1]
    assert "adjusted" not in said[0]


def test_the_note_says_what_the_images_hide_however_many_the_seeds(results):
    images = np.random.default_rng(0).random((1, 500)) < 0.5
    agreed = np.repeat(images, 3, axis=0)  # whatever the seed
    other = agreed.copy()
    other[:, :20] = True
    other[0, 20] ^= True
    compared = compare(agreed, other, [0, 1, 2])
    _, note = planning._of_network(results, "resnet", compared)
    floor = 100 * 2.802 * compared.image_error  # 1.960 + 0.842
    assert f"a difference below {floor:.2f} points" in note
    assert floor > 0.5
