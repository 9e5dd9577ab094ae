import os

import pytest

from pipeline.core.files import read_yaml
from pipeline.sweep.estimate import OVERHEAD, Asked, Estimate, estimate
from pipeline.sweep.ledger import Record
from pipeline.sweep.snapshot import user_environment

KNOWN = [Record("model-dropblock-0", "run", 2.0, 100.0, {})]


@pytest.mark.slow
def test_compute_is_counted_and_what_cannot_be_trained_stops_nothing(finished_project):
    values = read_yaml(finished_project.folder / "params.yaml")
    too_large = {**values, "model": {**values["model"], "batch_size": 5000}}
    few = Asked("model", values, 100)
    asked = [Asked("model", too_large, 100), few, few._replace(images=200)]
    environment = {**os.environ, **user_environment()}
    found = estimate(asked, KNOWN, finished_project.folder, environment, elsewhere=False)
    assert found[0] == Estimate(0.0, OVERHEAD)
    batch = values["model"]["batch_size"]
    assert found[2].pflop / found[1].pflop == pytest.approx((200 // batch) / (100 // batch))
    assert found[1].seconds == pytest.approx(OVERHEAD + 50 * found[1].pflop)
    (unknown,) = estimate([few], [], finished_project.folder, environment, elsewhere=True)
    assert unknown == Estimate(found[1].pflop, None)
