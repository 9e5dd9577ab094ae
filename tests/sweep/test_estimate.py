import os

import pytest

from pipeline.sweep.estimate import OVERHEAD, UNKNOWN, Estimate, estimate
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Data, Point
from pipeline.versioning.command import user_environment
from tests.conftest import TINY, quick_values, with_values

KNOWN = [Record("model-dropblock-0", 2.0, 100.0, {})]
ENVIRONMENT = {**os.environ, **user_environment()}


def point(images, **changes):
    changes = {**TINY, "train.networks": ["model"], **changes}
    return Point("x", (), with_values(quick_values(), changes), Data({}, str(images), images, 10))


@pytest.mark.slow
def test_compute_is_counted_and_what_cannot_be_trained_stops_nothing():
    few, more = point(100), point(200)
    points = [point(100, **{"model.batch_size": 5000}), few, more]
    found = estimate(points, KNOWN, ENVIRONMENT, elsewhere=False)
    too_large, of_few, of_more = (found[each.tasks[0].result] for each in points)
    assert too_large == UNKNOWN
    assert of_more.pflop / of_few.pflop == pytest.approx(2)
    assert of_few.seconds == pytest.approx(OVERHEAD + 50 * of_few.pflop)
    (unknown,) = estimate([few], [], ENVIRONMENT, elsewhere=True).values()
    assert unknown == Estimate(of_few.pflop, None)
    (measured,) = estimate([few], [], ENVIRONMENT, elsewhere=False).values()
    assert measured.pflop == of_few.pflop and measured.seconds > OVERHEAD
