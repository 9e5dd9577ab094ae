import subprocess

import pytest

from pipeline.core.errors import UserError
from pipeline.core.git import git
from pipeline.sweep.command import dvc, user_environment
from pipeline.versioning.experiments import cache_folder
from pipeline.versioning.snapshot import take_snapshot, unpack


def test_a_clone_is_the_working_copy_with_edits_deletions_and_new_files_upon_its_commit(
    project, tmp_path
):
    with (project / "params.yaml").open("a") as params:
        params.write("# edited\n")
    (project / "presets/tutorial.yaml").unlink()
    (project / "pipeline/new.py").write_text("NEW = 1\n")
    git(project, "add", "pipeline/new.py")
    before = git(project, "status", "--porcelain"), git(project, "for-each-ref")
    snapshot = take_snapshot(project)
    assert (git(project, "status", "--porcelain"), git(project, "for-each-ref")) == before
    clone = tmp_path / "clone"
    unpack(snapshot, clone)
    assert (clone / "params.yaml").read_text().endswith("# edited\n")
    assert not (clone / "presets/tutorial.yaml").exists()
    assert (clone / "pipeline/new.py").read_text() == "NEW = 1\n"
    assert git(clone, "rev-parse", "HEAD") == git(project, "rev-parse", "HEAD")
    assert git(clone, "config", "user.email")


def test_a_stale_dvc_lock_stays_behind(project, tmp_path):
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    git(project, "add", "dvc.lock")
    git(project, "commit", "-qm", "stale")
    unpack(take_snapshot(project), tmp_path / "clone")
    assert not (tmp_path / "clone/dvc.lock").exists()


def test_a_clone_shares_the_cache_and_keeps_the_machines_own_settings(project, tmp_path):
    (project / ".dvc/config.local").write_text(
        "['remote \"store\"']\n    url = /store\n"
        "[cache]\n    dir = /elsewhere\n    shared = group\n"
    )
    assert str(cache_folder()) == "/elsewhere"
    unpack(take_snapshot(project), tmp_path / "clone")
    cached = dvc("cache", "dir")
    there = subprocess.run(
        cached, cwd=tmp_path / "clone", env=user_environment(), capture_output=True, text=True
    )
    assert there.stdout.strip() == "/elsewhere"
    assert "shared = group" in (tmp_path / "clone/.dvc/config.local").read_text()
    listed = subprocess.run(
        dvc("remote", "list"), cwd=tmp_path / "clone", env=user_environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stdout.split() == ["store", "/store"]


@pytest.mark.parametrize("name", ["pipeline/networks/third.py", "pipeline/x.txt"])
def test_code_that_git_does_not_know_is_named(project, name):
    (project / name).touch()
    with pytest.raises(UserError, match=rf"{name} is not tracked by git; commit it first"):
        take_snapshot(project)


def test_a_shallow_clone_is_refused(project, tmp_path):
    git(project, "commit", "--quiet", "--allow-empty", "-m", "another")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "clone")
    with pytest.raises(UserError, match="is a shallow clone; `git fetch --unshallow`"):
        take_snapshot(tmp_path / "clone")


def test_a_project_that_is_a_subfolder_of_a_repository_is_refused(project):
    (project / "below").mkdir()
    with pytest.raises(UserError, match="below is a subfolder of a git repository"):
        take_snapshot(project / "below")


def test_a_repository_without_a_commit_is_refused(tmp_path):
    git(tmp_path, "init", "-q")
    with pytest.raises(UserError, match="no git commit"):
        take_snapshot(tmp_path)
