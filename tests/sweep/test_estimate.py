import pytest

from pipeline.sweep.estimate import count_all
from pipeline.sweep.plan import Data, Point
from tests.conftest import TINY, quick_values, with_values


def point(images, **changes):
    changes = {**TINY, "train.networks": ["model"], **changes}
    return Point("x", (), with_values(quick_values(), changes), Data({}, str(images), images, 10))


@pytest.mark.slow
def test_compute_is_counted_and_what_cannot_be_trained_stops_nothing():
    points = [point(100, **{"model.batch_size": 5000}), point(100), point(200)]
    counted = count_all(points)
    too_large, few, more = (counted[each.tasks[0].result] for each in points)
    assert too_large == 0
    assert more / few == pytest.approx(2)
