import subprocess
from pathlib import Path

import pytest

from pipeline.tracking import context


@pytest.fixture
def repository(workspace):
    """A git repository with one commit of one file."""
    (workspace / "a.txt").write_text("a")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "-q"], ["add", "a.txt"], ["commit", "-qm", "start"]):
        subprocess.run([*git, *arguments], check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_runs_carry_their_experiment_stage_and_commit(repository, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "block-7")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc123")
    monkeypatch.setenv("DVC_STAGE", "train@model-dropblock-0")
    assert context.context_tags() == {
        "dvc.experiment": "block-7",
        "dvc.baseline_rev": "abc123",
        "dvc.stage": "train@model-dropblock-0",
        "git.commit": repository,
        "git.dirty": "false",
    }


def test_outside_of_an_experiment_the_commit_names_the_workspace(repository, workspace):
    (workspace / "untracked.txt").write_text("b")
    tags = context.context_tags()
    assert tags["dvc.experiment"] == f"workspace-{repository[:7]}"
    assert tags["dvc.baseline_rev"] == repository
    assert tags["git.dirty"] == "false"
    (workspace / "a.txt").write_text("changed")
    tags = context.context_tags()
    assert (tags["git.dirty"], tags["git.changes"]) == ("true", "a.txt")


def test_code_that_git_does_not_know_yet_is_a_change(repository, workspace):
    (workspace / "pipeline").mkdir(exist_ok=True)
    (workspace / "pipeline/new.py").write_text("")
    assert context.context_tags()["git.changes"] == "pipeline/new.py"


def test_of_a_project_in_a_folder_of_a_repository_only_its_own_files_are_changes(
    repository, workspace, monkeypatch
):
    project = workspace / "project"
    (project / "pipeline").mkdir(parents=True)
    monkeypatch.chdir(project)
    (workspace / "a.txt").write_text("of another project")
    assert context.context_tags()["git.dirty"] == "false"
    (project / "pipeline/new.py").write_text("")
    tags = context.context_tags()
    assert (tags["git.commit"], tags["git.changes"]) == (repository, "pipeline/new.py")


def test_without_git_there_is_no_commit(workspace):
    tags = context.context_tags()
    assert (tags["git.commit"], tags["git.dirty"]) == ("", "false")
    assert tags["dvc.experiment"] == "workspace-no-git"


def test_a_process_that_has_the_number_of_a_dead_one_is_not_taken_for_it():
    tags = context.process_tags()
    assert context.is_alive(tags)
    assert not context.is_alive({**tags, "process.started": "1.0"})
    assert not context.is_alive({**tags, "process.pid": "999999999"})
    assert not context.is_alive({})


def test_a_process_of_another_machine_is_dead_when_it_gives_no_sign_of_life(monkeypatch):
    here = context.process_tags()
    assert not context.is_dead(here)
    assert context.is_dead({**here, "process.pid": "999999999"})
    elsewhere = {**here, "process.machine": "another", "process.pid": "999999999"}
    assert not context.is_dead(elsewhere)
    monkeypatch.setattr(context, "LEASE", -1)
    assert context.is_dead(elsewhere)
    assert not context.is_dead(here)
    assert not context.is_dead({"process.host": "of a time without heartbeats"})


def test_a_machine_is_known_by_its_boot_and_its_numbers_of_processes():
    boot, numbers = context.machine_id().split()
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert numbers.startswith("pid:[")
