import pytest

from pipeline.core.files import PREPARED
from pipeline.core.records import Prepared
from pipeline.stages.prepare import prepare
from tests.conftest import with_recipe


@pytest.fixture
def tiny_params(tiny_params):
    """One residual block and one hidden layer, seconds less to trace; Adam, as in the tutorial."""
    small = {
        "filters": [128],
        "kernel_sizes": [3],
        "hidden_units": [1024],
        "optimizer": "adam",
        "learning_rate": 0.002,
        "muon_weight_decay": 0.0,
        "schedule": "exponential",
        "learning_rate_decay": 0.98,
        "conv_keep_step": 0.02,
        "conv_keep_end": 0.8,
    }
    return with_recipe(tiny_params, **small)


@pytest.fixture
def prepared(workspace, tiny_params):
    """Two hundred digits, prepared."""
    prepare(tiny_params)
    return Prepared(PREPARED)
