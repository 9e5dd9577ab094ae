"""DVC's revisions, in a repository that is made of files alone: nothing was run in it."""

import json
import subprocess

import pytest
from dvc.repo import Repo

from pipeline.core.errors import UserError
from pipeline.reporting import experiments

LOCK = """schema: '2.0'
stages:
  evaluate@model:
    cmd: echo
    outs:
    - path: outputs/evaluation/model-dropblock-0
      hash: md5
      md5: 00000000000000000000000000000000.dir
      size: 3
      nfiles: 1
"""
STAGES = """stages:
  evaluate:
    matrix:
      network: [model]
    cmd: echo
    outs:
      - outputs/evaluation/${item.network}-dropblock-0
"""


def git(*arguments):
    user = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *user, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(workspace):
    """A git and DVC repository with one commit: params and what a report leaves."""
    (workspace / ".dvc").rmdir()
    git("init", "-q")
    Repo.init(str(workspace)).close()
    (workspace / "reports").mkdir()
    summary = {"digest": "d1", "accuracy": {}, "sections": {}, "reference": "baseline"}
    (workspace / "reports/comparison.json").write_text(json.dumps(summary))
    (workspace / "params.yaml").write_text("model:\n  width: 0.5\ndata:\n  seed: 0\n")
    git("add", "-A")
    git("commit", "-qm", "start")
    return workspace


def test_the_workspace_and_the_last_commit_are_revisions(repository):
    (name, workspace), (commit, revision) = experiments.list_revisions()
    assert (name, workspace) == ("workspace", None)
    assert commit == f"commit {revision[:7]}"


def test_a_committed_result_on_the_same_data_comes_with_its_params(repository):
    (found,) = experiments.compare_experiments("d1")
    assert found.params == {"model.width": 0.5}
    assert found.summary["digest"] == "d1"
    assert experiments.compare_experiments("another") == []


@pytest.mark.parametrize("content", ["{", json.dumps({"digest": "d1", "differences": {}})])
def test_results_of_another_time_or_damaged_are_passed_over(repository, content):
    (repository / "reports/comparison.json").write_text(content)
    git("commit", "-qam", "other")
    assert experiments.compare_experiments("d1") == []


def test_results_of_the_workspace_are_found_with_their_runs(repository):
    folder = repository / "outputs/evaluation/model-dropblock-0"
    folder.mkdir(parents=True)
    (folder / "logged_model.json").write_text(json.dumps({"run_id": "f00d", "model_uri": "m"}))
    (repository / "outputs/evaluation/something-else").mkdir()
    found = experiments.list_results()
    assert [(r.experiment, r.trial.label, r.run_id) for r in found] == [
        ("workspace", "model-dropblock-0", "f00d")
    ]


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_damaged_result_is_named_and_passed_over(repository, capsys, content):
    folder = repository / "outputs/evaluation/model-dropblock-0"
    folder.mkdir(parents=True)
    (folder / "logged_model.json").write_text(content)
    assert experiments.list_results() == []
    assert "workspace: its results are damaged" in capsys.readouterr().err


def test_a_revision_whose_results_are_in_no_cache_is_named_and_passed_over(repository, capsys):
    (repository / "dvc.yaml").write_text(STAGES)
    (repository / "dvc.lock").write_text(LOCK)
    git("add", "-A")
    git("commit", "-qm", "a lock of another machine")
    assert experiments.list_results() == []
    said = capsys.readouterr().err
    assert "its results are in no cache here; `dvc pull` or `dvc repro` brings them" in said


def test_a_repository_without_a_commit_has_a_workspace_only(workspace):
    (workspace / ".dvc").rmdir()
    git("init", "-q")
    Repo.init(str(workspace)).close()
    assert experiments.list_revisions() == [("workspace", None)]


def test_a_folder_that_is_no_repository_is_a_clear_error(workspace):
    (workspace / ".dvc").rmdir()
    with pytest.raises(UserError, match="DVC's repository cannot be read"):
        experiments.list_revisions()
