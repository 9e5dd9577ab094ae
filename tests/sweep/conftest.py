import shutil
from types import SimpleNamespace

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.core.git import git
from pipeline.sweep.command import user_environment
from pipeline.sweep.task import Place
from pipeline.versioning.experiments import cache_folder
from pipeline.versioning.snapshot import take_snapshot
from pipeline.versioning.storage import Storage, local_storage
from tests.conftest import make_project
from tests.sweep.stand_in import DVC


@pytest.fixture(scope="session")
def committed(tmp_path_factory):
    """A committed project without results, to be read."""
    return make_project(tmp_path_factory.mktemp("sweep") / "project")


@pytest.fixture
def own_cache(monkeypatch):
    """DVC's cache is that of each test's own project."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    cache_folder.cache_clear()
    yield
    cache_folder.cache_clear()


@pytest.fixture
def project(committed, tmp_path, monkeypatch, own_cache):
    """The same, to be changed, as the working directory."""
    folder = shutil.copytree(committed.folder, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(params=["folder", "object store"])
def storage(request, tmp_path):
    """A folder, and fsspec's store in memory as an object store that has no links."""
    if request.param == "folder":
        return local_storage(tmp_path / "shared")
    return Storage(MemoryFileSystem(), str(tmp_path))


@pytest.fixture
def work(tmp_path, monkeypatch, own_cache):
    """A project with the stand-in; `started()` are its processes' numbers, `go()` lets them end."""
    root, notes = tmp_path / "root", tmp_path / "notes"
    notes.mkdir()
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}/remote\n"
    )
    (root / "params.yaml").write_text("model: {}\n")
    (root / "dvc.py").write_text(DVC)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "start")
    monkeypatch.chdir(root)
    snapshot = take_snapshot(root)
    environment = {**user_environment(), "NOTES": str(notes), "REMOTE": f"{tmp_path}/remote"}
    return SimpleNamespace(
        root=root,
        place=Place(root, snapshot, {**environment, "DVC_ROOT": str(root)}),
        elsewhere=Place(None, snapshot, environment),
        remote=tmp_path / "remote",
        notes=notes,
        started=lambda: [int(p.name.split(".")[0]) for p in notes.glob("*.model-*")],
        resumed=lambda: [int(p.name.split(".")[0]) for p in notes.glob("*.resumed")],
        ended=lambda: [int(p.name.split(".")[0]) for p in notes.glob("*.ended")],
        go=(notes / "go").touch,
    )
