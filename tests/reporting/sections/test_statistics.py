import pytest

from pipeline.reporting.comparison import compare
from pipeline.reporting.findings import Findings
from pipeline.reporting.sections import statistics
from tests.reporting.conftest import predicting, results_of


def said(networks, seeds):
    keys = [(name, "dropblock", seed) for name in networks for seed in range(seeds)]
    results = results_of(dict.fromkeys(keys, predicting([0, 1, 2])), [0, 1, 1])
    seeds = results.seeds
    hits = {name: results.hits(name) for name in networks}
    comparisons = {n: compare(hits["baseline"], hits[n], seeds) for n in networks[1:]}
    (text,) = statistics.make(Findings(None, results, results, comparisons)).parts
    return text


@pytest.mark.parametrize(
    ("networks", "seeds", "kinds"),
    [
        (["baseline", "resnet"], 1, {"ONE_SEED", "MCNEMAR"}),
        (
            ["baseline", "resnet"],
            3,
            {"SEEDS", "MCNEMAR", "P_VALUES", "NEW_IMAGES", "RELIABLE", "COLLAPSES"},
        ),
        (["baseline"], 1, {"ONE_SEED"}),
        (["baseline"], 2, {"SEEDS"}),
    ],
)
def test_only_what_the_page_shows_is_explained(networks, seeds, kinds):
    notes = {"ONE_SEED", "SEEDS", "MCNEMAR", "P_VALUES", "NEW_IMAGES", "RELIABLE", "COLLAPSES"}
    text = said(networks, seeds)
    assert {name for name in notes if getattr(statistics, name).partition("{")[0] in text} == kinds


@pytest.mark.parametrize(("seeds", "floor"), [(6, "0.031"), (16, "< 0.001")])
def test_the_smallest_possible_p_is_said(seeds, floor):
    said_of = said(["baseline", "resnet"], seeds)
    assert f"With {seeds} seeds its smallest possible value, the floor, is {floor}." in said_of
