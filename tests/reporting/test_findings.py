from dataclasses import replace

import numpy as np
import pytest

from pipeline.reporting.findings import Findings, compare_networks, find, summarise
from pipeline.reporting.p_values import max_t_p_values, sign_flip_p_value
from tests.reporting.conftest import results_of

LABELS = np.array([0, 1, 2] * 40)


def right_about(share, seed):
    """Log-probabilities that are right about a share of the images."""
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(len(LABELS)) < share, LABELS, (LABELS + 1) % 3)
    return np.log(np.eye(3)[predicted] * 0.8 + 0.05)


def three_networks():
    shares = {"baseline": 0.4, "resnet": 0.6, "sprint": 0.9}
    return {
        (name, "dropblock", seed): right_about(share, 10 * seed + i)
        for seed in (0, 1)
        for i, (name, share) in enumerate(shares.items())
    }


def test_each_network_is_compared_with_the_first():
    results = results_of(three_networks(), LABELS)
    compared = compare_networks(results)
    assert list(compared) == ["resnet", "sprint"]
    expected = results.hits("sprint").mean() - results.hits("baseline").mean()
    assert compared["sprint"].difference.mean == pytest.approx(expected)
    described = replace(results, metadata={"digest": "d1", "content": "c1"})
    summary = summarise(Findings(None, described, described, compared))
    assert summary["reference"] == "baseline"
    assert summary["differences"]["resnet"]["seeds"] == 2


def test_p_values_are_adjusted_for_all_networks_at_once():
    shares = {"baseline": 0.5, "resnet": 0.52, "sprint": 0.48}
    predictions = {
        (name, "dropblock", seed): right_about(share, 10 * seed + i)
        for seed in range(6)
        for i, (name, share) in enumerate(shares.items())
    }
    results = results_of(predictions, LABELS)
    right = {name: results.hits(name).sum(axis=1) for name in shares}
    counts = np.column_stack([right[name] - right["baseline"] for name in ("resnet", "sprint")])
    compared = compare_networks(results)
    assert [c.p_value for c in compared.values()] == max_t_p_values(counts).tolist()
    assert [c.tests for c in compared.values()] == [2, 2]
    alone = [sign_flip_p_value(column) for column in counts.T]
    assert sum(c.p_value for c in compared.values()) > sum(alone)


def test_the_report_needs_no_repository_and_knows_no_other_experiment(workspace, made_results):
    (workspace / ".dvc").rmdir()
    summary = summarise(find(made_results([0, 1])))
    assert set(summary["differences"]) == {"resnet"}
    assert summary["settings"]["resnet"] == "model-dropblock-identity"  # without the seed
    assert set(summary["accuracy"]["resnet"]["right"]) == {"0", "1"}
