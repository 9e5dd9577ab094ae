"""All kinds of DVC experiments end up in one MLflow store, and can be looked up both ways."""

import io
import json
import subprocess
import urllib.request
from contextlib import suppress

import numpy as np
import pandas as pd
import psutil
import pytest

from pipeline.commands.servers import free_port
from tests.conftest import (
    copy_project,
    experiment_references,
    run_name,
    runs_of,
    start_python,
    stop,
    wait_until_up,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
BLOCK = "model.drop_block_size"


@pytest.fixture(scope="module")
def project(finished_project, tmp_path_factory):
    """A project with the results of the workspace, one --temp and one queued experiment."""
    project = copy_project(finished_project, tmp_path_factory.mktemp("experiments") / "copy")
    project.run("dvc", "exp", "run", "--temp", "-n", "temp-7", "-S", "model.drop_block_size=7")
    project.run("dvc", "exp", "run", "--queue", "-S", "model.drop_block_size=3")
    before = experiment_references(project)
    subprocess.run(
        ["dvc", "queue", "start"], cwd=project.folder, env=project.environment, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # which its worker keeps open
    )  # fmt: skip
    wait_for(lambda: experiment_references(project) != before, 900, every=0.5)
    wait_for(lambda: "Success" in project.run("dvc", "queue", "status").stdout)
    yield project
    # The worker misses the request to end if it reads it while it is being written.
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(project.folder):
                process.kill()


def store(project):
    client, runs = runs_of(project)
    return client, {run.info.run_id: run for run in runs}


def lookup(project, *name):
    """Return the look-up's table as (experiment, network) -> run id."""
    lines = project.run("python", "-m", "pipeline", "lookup", *name).stdout.splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    return {(row[0], row[2]): row[5] for row in cells[2:]}


def test_all_runs_are_finished_in_the_main_repositorys_store(project):
    _, runs = store(project)
    names = sorted(run.info.run_name for run in runs.values())
    assert names == sorted([run_name("baseline"), *(run_name(**{BLOCK: b}) for b in (3, 5, 7))])
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert not list((project.folder / ".dvc/tmp/exps").rglob("mlflow.db"))


def test_each_run_has_every_epoch_its_artifacts_and_its_experiment(project):
    client, runs = store(project)
    listed = pd.read_csv(io.StringIO(project.run("dvc", "exp", "show", "--csv").stdout))
    experiments = set(listed["Experiment"].dropna())
    for run_id, run in runs.items():
        steps = [m.step for m in client.get_metric_history(run_id, "val_loss")]
        assert steps == [1, 2]
        assert "test_accuracy" in run.data.metrics
        assert {"figures", "params.yaml"} <= {a.path for a in client.list_artifacts(run_id)}
        name = run.data.tags["dvc.experiment"]
        assert name in experiments or name.startswith("workspace-")


def test_the_lookup_goes_both_ways_also_for_cached_stages(project):
    _, runs = store(project)
    found = lookup(project)
    temp = lookup(project, "temp-7")
    assert runs[temp["temp-7", "resnet"]].info.run_name == run_name(**{BLOCK: 7})
    baselines = {run_id for (_, network), run_id in found.items() if network == "baseline"}
    assert len(baselines) == 1  # one training, listed five times
    back = lookup(project, temp["temp-7", "resnet"][:12])
    assert set(back) == {("temp-7", "resnet")}
    assert len(lookup(project, baselines.pop())) == 5


def test_the_run_of_a_shared_training_has_the_names_of_all_its_experiments(project):
    _, runs = store(project)
    (baseline,) = [r for r in runs.values() if r.data.tags["network"] == "baseline"]
    names = baseline.data.tags["dvc.experiments"].split(", ")
    assert set(names) >= set(experiments(project)) and "temp-7" in names
    assert project.run("python", "-m", "pipeline", "doctor").stdout == "nothing to repair\n"


def experiments(project):
    return project.run("dvc", "exp", "list", "--name-only").stdout.split()


def test_dvcs_diffs_show_the_change(project):
    project.run("dvc", "exp", "apply", "temp-7")
    changed = json.loads(project.run("dvc", "params", "diff", "--json").stdout)
    assert changed["params.yaml"]["model.drop_block_size"] == {"old": 5, "new": 7, "diff": 2}
    metrics = json.loads(project.run("dvc", "metrics", "diff", "--all", "--json").stdout)
    assert "resnet.test_loss" in metrics["reports/metrics.json"]
    assert "file://" in project.run("dvc", "plots", "diff", "-o", "plots_out").stdout
    assert "temp-7" in project.run("dvc", "exp", "list").stdout
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout", "-q")


def test_compare_sets_all_experiments_side_by_side(project):
    said = project.run("python", "-m", "pipeline", "compare").stdout
    assert said.startswith("Not enough seeds to say whether drop_block_size changes the mean")
    folder = project.folder / "reports/experiments"
    settings = (folder / "report.md").read_text().split("## All settings")[1]
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in settings.splitlines() if "|" in line
    ]
    assert rows[0][:3] == ["network", "drop_block_size", "seeds"]
    assert rows[0][-1] == "experiments"
    blocks = {row[1]: row[-1] for row in rows[2:] if row[0] == "resnet"}
    assert list(blocks) == ["3", "5", "7"]
    assert "temp-7" in blocks["7"]
    assert [row[0] for row in rows[2:]].count("baseline") == 1
    contrasts = json.loads((folder / "comparison.json").read_text())["contrasts"]
    assert len(contrasts["found"]) == 2
    with np.load(folder / "predictions.npz") as saved:
        names = set(saved["names"].tolist())
    assert {"workspace/resnet/dropblock/0", "temp-7/resnet/dropblock/0"} <= names
    assert (folder / "figures/experiments.svg").stat().st_size > 5_000


def test_an_identical_experiment_comes_from_the_cache_with_its_original_run(project):
    before = set(store(project)[1])
    project.run("dvc", "exp", "run", "--temp", "-n", "again", "-S", "model.drop_block_size=7")
    assert set(store(project)[1]) == before
    assert (
        lookup(project, "again")["again", "resnet"] == lookup(project, "temp-7")["temp-7", "resnet"]
    )
    project.run("dvc", "exp", "remove", "again")


def test_the_champion_is_served_and_answers_raw_pixels(project):
    serve = ["-m", "pipeline", "serve", "--port", str(free_port())]
    process = start_python(project.folder, *serve)
    try:
        address = process.stdout.readline().split()[1]
        assert address.startswith("http://127.0.0.1:")
        wait_until_up(address.replace("invocations", "ping"))
        images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
        request = urllib.request.Request(
            address,
            data=json.dumps({"inputs": images.tolist()}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            predictions = json.load(answer)["predictions"]
        assert [set(p) for p in predictions] == [set(map(str, range(10)))] * 2
        np.testing.assert_allclose([sum(p.values()) for p in predictions], 1, atol=1e-5)
    finally:
        stop(process)
