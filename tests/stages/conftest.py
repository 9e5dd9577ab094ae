import pytest

from pipeline.core.files import PREPARED
from pipeline.core.records import Prepared
from pipeline.settings.trainings import Training
from pipeline.stages.prepare import prepare
from pipeline.stages.train import Training


@pytest.fixture
def training(workspace, store, tiny_params):
    """A training of one residual block, whose graph is traced in a second or two."""
    small = {"filters": [128], "kernel_sizes": [3], "hidden_units": [1024]}
    model = tiny_params.model.model_copy(update=small)
    prepare(tiny_params.data)
    return Training(
        tiny_params.model_copy(update={"model": model}),
        Training("model", "dropblock", 0),
        Prepared(PREPARED),
    )
