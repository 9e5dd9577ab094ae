import pytest

import pipeline.sweep.estimate as estimate_module
from pipeline.sweep.estimate import Cost, _count_all, count_all, estimate
from pipeline.sweep.plan import Data, Point
from tests.conftest import TINY, checked, quick_values, with_values


def point(images, **changes):
    changes = {**TINY, "train.networks": ["model"], **changes}
    data = Data({}, str(images), images, 10, 32)
    return Point("x", (), with_values(quick_values(), changes), data)


@pytest.mark.slow
def test_compute_is_counted_and_what_cannot_be_trained_stops_nothing():
    points = [point(100, **{"model.batch_size": 5000}), point(100), point(200)]
    counted = count_all(points)
    too_large, few, more = (counted[each.tasks[0].result] for each in points)
    assert too_large == 0
    assert more / few == pytest.approx(2)


@pytest.mark.slow
def test_networks_that_differ_only_in_rates_are_counted_once(monkeypatch):
    counted = []

    def count(*what):
        counted.append(what)
        return Cost(1.0, 1)

    monkeypatch.setattr(estimate_module, "estimate", count)
    points = [
        point(100), point(100, **{"recipe.learning_rate": 0.3}), point(100, **{"model.width": 0.5}),
        point(100, **{"recipe.batch_size": 10}), point(200),
    ]  # fmt: skip
    assert len(_count_all(points)) == 5
    assert len(counted) == 4


def test_compute_is_that_of_every_epoch_at_its_image_size():
    """Of the baseline with one block and without hidden layers, written out by hand."""
    changes = {
        "baseline.width": 1.0, "baseline.filters": [4], "baseline.kernel_sizes": [3],
        "baseline.hidden_units": [], "baseline.epochs": 3, "baseline.batch_size": 30,
        "baseline.image_sizes": [[0.6, 20]],
    }  # fmt: skip
    found = estimate("baseline", checked(**changes).recipe("baseline"), 100, 10, 32)
    forward = {side: 2 * side**2 * 9 * 3 * 4 + 2 * (side // 2) ** 2 * 4 * 10 for side in (20, 32)}
    seen = 90  # a last batch of 10 images is left out
    assert found.pflop * 1e15 == pytest.approx(3 * seen * (2 * forward[20] + forward[32]))
