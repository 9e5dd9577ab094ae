import os

import pytest

from pipeline.versioning.kept import save_workspace
from tests.made_up_results import LOCK
from tests.versioning.conftest import git


def experiments():
    return git("for-each-ref", "--format=%(refname)", "refs/exps").split()


@pytest.fixture
def repository(workspace):
    """A repository with one commit, a changed parameter, and a result that git does not track."""
    git("init", "-q")
    (workspace / "params.yaml").write_text("a: 1\n")
    git("add", "params.yaml")
    git("commit", "-qm", "start")
    (workspace / "params.yaml").write_text("a: 2\n")
    (workspace / "dvc.lock").write_text(LOCK.format("f00d1234"))
    return workspace


def test_the_result_of_the_workspace_becomes_an_experiment_of_the_last_commit(repository):
    before = git("status", "--porcelain")
    assert save_workspace() == (["repro-f00d123"], "repro-f00d123")
    head = git("rev-parse", "HEAD")
    assert experiments() == [f"refs/exps/{head[:2]}/{head[2:]}/repro-f00d123"]
    (kept,) = experiments()
    assert git("rev-parse", f"{kept}^") == head
    assert git("show", f"{kept}:params.yaml") == "a: 2"
    assert "f00d1234" in git("show", f"{kept}:dvc.lock")
    assert git("status", "--porcelain") == before
    assert git("diff", "--cached", "--name-only") == ""


def test_the_same_result_is_kept_once_also_after_another_commit(repository):
    save_workspace()
    assert save_workspace() == (["repro-f00d123"], None)
    git("commit", "-qam", "another")
    assert save_workspace() == (["repro-f00d123"], None)
    (repository / "dvc.lock").write_text(LOCK.format("beef5678"))
    assert save_workspace()[1] == "repro-beef567"
    assert len(experiments()) == 2


def test_all_experiments_with_the_result_are_named(repository):
    save_workspace()
    head, (kept,) = git("rev-parse", "HEAD"), experiments()
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/mine", git("rev-parse", kept))
    assert save_workspace() == (["mine", "repro-f00d123"], None)


def test_what_is_committed_or_an_experiment_of_dvcs_own_is_not_kept_again(repository, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "block-7")
    assert save_workspace() == (["block-7"], None)
    monkeypatch.delenv("DVC_EXP_NAME")
    git("add", "dvc.lock")
    git("commit", "-qam", "results")
    assert save_workspace() == ([], None)
    assert experiments() == []


def test_without_git_a_commit_or_a_result_there_is_nothing_to_keep(workspace):
    assert save_workspace() == ([], None)
    (workspace / "dvc.lock").write_text(LOCK.format("f00d1234"))
    assert save_workspace() == ([], None)  # no repository
    git("init", "-q")
    assert save_workspace() == ([], None)  # no commit
    git("commit", "-q", "--allow-empty", "-m", "start")
    (workspace / "dvc.lock").write_text("schema: '2.0'\n")
    assert save_workspace() == ([], None)  # no report


def test_a_git_that_refuses_costs_a_warning(repository, capsys):
    objects = repository / ".git/refs/exps"
    objects.write_text("a file in the way")
    assert save_workspace() == ([], None)
    assert "this result was not recorded as an experiment: " in capsys.readouterr().err


def test_code_that_git_does_not_know_yet_is_kept_too(repository):
    (repository / "pipeline/networks").mkdir(parents=True)
    (repository / "pipeline/networks/a b.py").write_text("new")
    (repository / "notes.txt").write_text("not code")
    save_workspace()
    (kept,) = experiments()
    assert git("show", f"{kept}:pipeline/networks/a b.py") == "new"
    assert "notes.txt" not in git("ls-tree", "-r", "--name-only", kept)


def test_a_file_name_need_not_be_utf_8(repository):
    (repository / "pipeline/networks").mkdir(parents=True)
    (repository / os.fsdecode(b"pipeline/networks/\xff.py")).write_text("new")
    save_workspace()
    (kept,) = experiments()
    assert r'"pipeline/networks/\377.py"' in git("ls-tree", "-r", "--name-only", kept)
