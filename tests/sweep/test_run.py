"""Whole sweeps with a local Ray, against the same experiments run one after another."""

import io
import re

import pandas as pd
import pytest

from pipeline.tracking.trainings import EXPERIMENTS
from tests.conftest import ONE_THREAD, clone_of, project_in, run_name, runs_of
from tests.sweep.compared import comparison
from tests.sweep.sweeps import (
    BLOCKS,
    DETERMINISTIC,
    EXACT,
    RESNETS,
    assert_one_finished_run_each,
    experiments,
    sweep,
)

pytestmark = pytest.mark.slow

NAMES = [run_name("baseline", **EXACT), *RESNETS]  # both experiments have the baseline


def shown(project):
    """Return metrics, params and code of all experiments, by the block size."""
    table = pd.read_csv(io.StringIO(project.run("dvc", "exp", "show", "--csv").stdout))
    table = table[table["typ"].str.startswith("branch")].set_index("model.drop_block_size")
    differing = table.filter(regex="^(Experiment|rev|typ|Created|outputs/.*|reports/.*)$")
    return table.sort_index().drop(columns=differing.columns)


@pytest.fixture(scope="module")
def swept(committed, tmp_path_factory):
    """A project after `dvc repro` of the baseline and a sweep."""
    project = clone_of(committed, tmp_path_factory.mktemp("swept") / "swept")
    params = project.folder / "params.yaml"
    given = params.read_text()
    params.write_text(given.replace("deterministic: false", "deterministic: true"))
    project_in(project.folder, ONE_THREAD).run("dvc", "repro", "evaluate@baseline-dropblock-0")
    params.write_text(given)
    project.status = project.run("git", "status", "--porcelain").stdout
    project.output = sweep(project, *BLOCKS, *DETERMINISTIC).stdout
    return project


def test_the_plan_is_said_first_and_the_workspace_is_left_alone(swept):
    assert "preparing the data, if that was not done yet\nexperiments: 2, already" in swept.output
    assert "distinct trainings: 3, already done: 1, to run: 2\n" in swept.output
    assert "[2/2] resnet-dropblock-0" in swept.output
    client, runs = runs_of(swept)
    for run in [run for run in runs if run.data.tags["network"] == "resnet"]:
        title = "resnet-dropblock-0"  # the estimate is what the training counted
        (*_, last) = client.get_metric_history(run.info.run_id, "pflop")
        assert re.search(rf"  {title} of \S+: {last.value:.3g} PFLOP\n", swept.output)
        for epoch in (1, 2):
            line = (
                rf"\n{title} of \S+: epoch {epoch} of 2: training accuracy .*, about \d+ s left\n"
            )
            assert re.search(line, swept.output)
    assert swept.run("git", "status", "--porcelain").stdout == swept.status == "?? dvc.lock\n"
    assert list((swept.folder / ".dvc/tmp/sweep").iterdir()) == []


def test_experiments_are_published_under_the_main_repositorys_lock(swept):
    """They wait for a `dvc repro` there, and for each other."""
    assert (swept.folder / ".training/publish.lock").exists()


def test_it_ends_as_the_same_experiments_one_after_the_other(swept, committed, tmp_path):
    serial = project_in(clone_of(committed, tmp_path / "serial").folder, ONE_THREAD)
    for block in (1, 3):
        override = ["-S", f"model.drop_block_size={block}", *DETERMINISTIC]
        serial.run("dvc", "exp", "run", "-n", f"drop_block_size-{block}-serial", *override)
    wanted, got = shown(serial), shown(swept)
    pd.testing.assert_frame_equal(got, wanted, check_exact=True)
    there, here = experiments(serial), experiments(swept)
    assert set(there) == set(here) == {"drop_block_size-1", "drop_block_size-3"}
    for name in there:
        assert comparison(swept, here[name]) == comparison(serial, there[name])
    for project in (serial, swept):
        assert_one_finished_run_each(project, NAMES)
    tags = [{r.info.run_name: r.data.tags for r in runs_of(p)[1]} for p in (serial, swept)]
    for name in NAMES:
        by_serial, by_sweep = tags[0][name], tags[1][name]
        assert set(by_serial) - set(by_sweep) <= {"mlflow.source.git.repoURL"}  # of the clone
        # Only the workspace, in which `dvc repro` trained the baseline, is on a branch.
        branch = {"mlflow.source.git.branch"} if name == NAMES[0] else set()
        assert set(by_sweep) - set(by_serial) == branch
        for tag in ("git.commit", "training"):
            assert by_sweep[tag] == by_serial[tag]
        known = [here[each.removesuffix("-serial")] for each in by_serial[EXPERIMENTS].split(", ")]
        assert by_sweep[EXPERIMENTS].split(", ") == sorted(known)


def test_the_same_command_again_does_nothing(swept):
    before = {run.info.run_id for run in runs_of(swept)[1]}
    said = sweep(swept, *BLOCKS, *DETERMINISTIC).stdout
    assert "experiments: 2, already recorded: 2" in said
    assert {run.info.run_id for run in runs_of(swept)[1]} == before


def test_a_larger_sweep_trains_only_what_is_new_and_a_dry_run_nothing(swept):
    larger = ["-S", "model.drop_block_size=3", "-S", "train.seeds=[0,1]", *DETERMINISTIC]
    before = experiments(swept)
    said = sweep(swept, *larger, "--dry-run").stdout
    assert "distinct trainings: 4, already done: 2, to run: 2" in said
    assert "baseline-dropblock-1 of sweep-" in said and "resnet-dropblock-1 of sweep-" in said
    assert "resnet-dropblock-0 of" not in said
    assert experiments(swept) == before
    assert len(runs_of(swept)[1]) == 3


def test_a_dry_run_prepares_nothing(committed, tmp_path):
    project = clone_of(committed, tmp_path / "dry")
    said = sweep(project, *BLOCKS, "--dry-run").stdout
    assert "distinct trainings: 3, already done: 0, to run: 3" in said
    assert "unknown until the data are prepared" in said and "preparing" not in said
    assert not (project.folder / "mlflow.db").exists()
    assert not list(project.folder.glob(".dvc/cache/files/md5/*"))
