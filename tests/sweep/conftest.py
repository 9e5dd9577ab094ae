import shutil

import pytest

from pipeline.sweep.snapshot import take_snapshot, unpack
from tests.conftest import make_project


@pytest.fixture(scope="session")
def committed(tmp_path_factory):
    """A committed project without results, to be read."""
    return make_project(tmp_path_factory.mktemp("sweep") / "project")


@pytest.fixture
def project(committed, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(committed.folder, tmp_path / "project", symlinks=True)


@pytest.fixture
def unpacked(project, tmp_path):
    """A snapshot of the project and the clone that it was unpacked into."""
    snapshot = take_snapshot(project)
    unpack(snapshot, tmp_path / "clone", None)
    return snapshot, tmp_path / "clone"
