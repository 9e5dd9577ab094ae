import pytest

from pipeline.core.files import PREPARED
from pipeline.core.records import Prepared
from pipeline.settings.trainings import Training
from pipeline.stages.prepare import prepare
from pipeline.stages.train import Setup
from tests.conftest import TINY, checked

# One residual block, whose graph is traced in a second or two.
SMALL = {
    **TINY, "model.filters": [128], "model.kernel_sizes": [3], "model.hidden_units": [1024]
}  # fmt: skip


@pytest.fixture
def setup(workspace, store):
    """A small training, its data prepared."""
    params = checked(**SMALL)
    prepare(params)
    return Setup(params, Training("model", "dropblock", 0), Prepared(PREPARED))
