import pytest

from pipeline.core.errors import UserError
from pipeline.networks.shared.models import load_network
from tests.conftest import truncate


def test_a_file_that_was_cut_off_is_refused(build, tmp_path):
    file = tmp_path / "model.keras"
    build("model", width=0.03).save(file)
    truncate(file, 2_000)
    with pytest.raises(UserError, match=r"model.keras cannot be loaded .* run `dvc repro` to"):
        load_network(file)
