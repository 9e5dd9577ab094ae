import hashlib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.core.git import git
from pipeline.versioning import experiments as module
from pipeline.versioning.experiments import (
    Experiment,
    cache_folder,
    list_experiments,
    params_of_results,
)
from pipeline.versioning.repository import write_lock
from tests.conftest import quick_values, with_values

OUT = Path("reports/comparison.json")


@pytest.fixture
def cache(workspace, monkeypatch):
    """The folder of DVC's cache, without DVC, which takes a second to open it."""
    monkeypatch.setattr(module, "cache_folder", lambda: workspace / ".dvc/cache")
    return workspace / ".dvc/cache"


@pytest.fixture
def results(workspace, cache):
    """Leave params and results in the workspace, as `dvc repro` does."""

    def leave(size, content="{}", cached=True):
        YAML().dump({"model": {"drop_block_size": size}}, workspace / "params.yaml")
        md5 = hashlib.md5(content.encode()).hexdigest()
        outs = [{"path": str(OUT), "hash": "md5", "md5": md5}, {"path": "no md5"}]
        used = {"params.yaml": {"model": {"drop_block_size": size}}}
        report = {"cmd": "x", "params": used, "outs": outs}
        write_lock(workspace, {"report": report, "publish": {"cmd": "x"}})
        (workspace / OUT).parent.mkdir(exist_ok=True)
        (workspace / OUT).write_text(content)
        if cached:
            file = cache / "files/md5" / md5[:2] / md5[2:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    return leave


def sizes(found):
    return {e.name.split()[0]: e.params["model"]["drop_block_size"] for e in found}


def test_the_workspace_the_last_commit_and_all_experiments_are_listed_with_their_results(
    results, commit
):
    results(1, "one")
    head = commit()
    results(3, "three")
    early = commit("early")
    results(7, "seven")
    found = list_experiments()
    assert [e.name for e in found] == ["workspace", f"commit {head[:7]}", "early"]
    assert [e.revision for e in found] == ["", head[:7], early[:7]]
    assert sizes(found) == {"workspace": 7, "commit": 1, "early": 3}
    assert [e.read(OUT) for e in found] == [b"seven", b"one", b"three"]
    assert [e.read(Path("no md5")) for e in found] == [None] * 3


def test_experiments_on_different_commits_that_share_a_name_are_told_apart(
    results, commit, monkeypatch
):
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
    results(1)
    commit()
    results(3)
    older = commit("wide")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-02T00:00:00Z")
    commit()
    results(5)
    newer = commit("wide")
    found = {e.name: e.revision for e in list_experiments()[2:]}
    assert found == {f"wide ({older[:7]})": older[:7], "wide": newer[:7]}


def test_results_go_with_the_params_that_made_them_not_with_later_edits(results, workspace):
    results(5)
    YAML().dump({"model": {"drop_block_size": 9}}, workspace / "params.yaml")
    assert sizes(list_experiments()) == {"workspace": 5}


def test_results_are_published_with_the_params_that_made_them(workspace):
    made, edited = quick_values(), with_values(quick_values(), {"recipe.learning_rate": 0.123})
    YAML().dump(edited, workspace / "params.yaml")
    assert params_of_results().recipe("model").learning_rate == 0.123  # no results yet
    write_lock(workspace, {"report": {"cmd": "x", "params": {"params.yaml": made}}})
    assert params_of_results().recipe("model").learning_rate == 0.05


def test_experiments_of_earlier_commits_count_and_dvcs_queue_does_not(results, commit, workspace):
    results(1)
    commit()
    results(3)
    revision = commit("early")
    results(5)
    head = commit()
    for reference in ("refs/exps/stash", "refs/exps/celery/failed", "refs/exps/exec/EXEC_HEAD"):
        git(workspace, "update-ref", reference, revision)
    names = [e.name for e in list_experiments()]
    assert names == ["workspace", f"commit {head[:7]}", "early"]


def test_names_with_a_slash_are_whole(results, commit):
    results(1)
    commit()
    commit("a/b")
    assert list_experiments()[-1].name == "a/b"


def test_a_changed_result_of_the_workspace_is_refused(results, workspace):
    results(5, "five")
    (found,) = list_experiments()
    (workspace / OUT).write_text("six")
    with pytest.raises(UserError, match=r"reports/comparison.json: changed since `dvc repro`"):
        found.read(OUT)


def test_without_git_there_is_the_workspace(results):
    results(5, "five")
    (found,) = list_experiments()
    assert (found.name, found.read(OUT)) == ("workspace", b"five")


def test_before_the_first_commit_there_is_the_workspace(results, workspace):
    results(5)
    git(workspace, "init", "-q")
    assert sizes(list_experiments()) == {"workspace": 5}


def test_without_params_or_results_nothing_is_listed(results, workspace, commit):
    assert list_experiments() == []
    (workspace / "params.yaml").write_text("model: {}\n")
    commit()
    assert list_experiments() == []  # no results yet
    results(5)
    assert [e.name for e in list_experiments()] == ["workspace"]


def test_results_that_no_cache_here_has_are_none(results, commit):
    results(1, "one")
    commit()
    results(3, "three", cached=False)
    commit("elsewhere")
    (workspace, commit_, elsewhere) = list_experiments()
    assert (workspace.read(OUT), commit_.read(OUT)) == (b"three", b"one")
    assert elsewhere.read(OUT) is None


@pytest.mark.parametrize(("content", "values"), [('{"a": 1}', {"a": 1}), ("{", {}), ("[]", {})])
def test_a_damaged_json_file_is_as_an_absent_one(results, content, values):
    results(1, content)
    (workspace,) = list_experiments()
    assert workspace.read_json(OUT) == values
    assert workspace.read_json(Path("absent.json")) == {}


def test_a_file_that_is_gone_from_the_workspace_is_none(results, workspace):
    results(1)
    (workspace / OUT).unlink()
    assert list_experiments()[0].read(OUT) is None


@pytest.mark.parametrize("damage", ["", "<<<<<<< HEAD\n", "schema: '2.0'\n", "stages: 3\n"])
def test_a_damaged_lock_stops_in_the_workspace_and_is_skipped_in_an_experiment(
    results, commit, workspace, damage
):
    results(1)
    commit()
    (workspace / "dvc.lock").write_text(damage)
    commit("broken")
    with pytest.raises(UserError, match=r"^dvc.lock is damaged"):
        list_experiments()
    results(3)
    assert set(sizes(list_experiments())) == {"workspace", "commit"}


@pytest.mark.parametrize("damage", ["<<<<<<< HEAD\n", "a: [\n", "- 1\n"])
def test_damaged_params_stop_in_the_workspace_and_are_skipped_in_an_experiment(
    results, commit, workspace, damage
):
    results(1)
    commit()
    (workspace / "params.yaml").write_text(damage)
    commit("broken")
    with pytest.raises(UserError, match=r"params.yaml"):
        list_experiments()
    results(3)
    assert set(sizes(list_experiments())) == {"workspace", "commit"}


def test_the_cache_is_the_one_that_dvc_uses(workspace):
    cache_folder.cache_clear()
    with pytest.raises(UserError, match="DVC's repository cannot be read"):
        cache_folder()
    git(workspace, "init", "-q")
    module.Repo.init(str(workspace), force=True).close()
    assert cache_folder() == workspace / ".dvc/cache"
    cache_folder.cache_clear()
    (workspace / ".dvc/config").write_text("[cache]\n    dir = ../elsewhere\n")
    assert cache_folder() == workspace / "elsewhere"
    cache_folder.cache_clear()


def test_hashes_are_by_path(results, workspace):
    results(1, "x")
    (found,) = list_experiments()
    assert found.hashes == {str(OUT): hashlib.md5(b"x").hexdigest()}
    assert Experiment("gone", "abc", {}, {}).read(OUT) is None
