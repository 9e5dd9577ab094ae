"""A whole tuning with a local Ray."""

import re

import pytest

from tests.conftest import clone_of, runs_of

pytestmark = pytest.mark.slow


def test_a_tuning_runs_each_trial_once_and_makes_a_preset_and_a_parent_run(committed, tmp_path):
    project = clone_of(committed, tmp_path / "tuned")
    tuning = "trials: 2\nseeds: [100]\nspaces: {learning_rate: {low: 0.01, high: 0.1}}\n"
    (project.folder / "tune.yaml").write_text(tuning)
    params = project.folder / "params.yaml"
    both, one = "networks: [baseline, model]", "networks: [baseline]"
    params.write_text(params.read_text().replace(both, one))
    project.run("git", "commit", "-qam", "tuning")
    said = project.run("python", "-m", "pipeline", "tune").stdout
    assert "experiments: 2, already recorded: 0" in said
    best = float(re.search(r"accuracy of 2 trials each: baseline (\S+) %", said)[1]) / 100
    run_id = re.search(r"MLflow run (\w+), the parent", said)[1]
    runs = runs_of(project)[1]
    (parent,) = [run for run in runs if run.info.run_id == run_id]
    assert parent.data.metrics["best_val_accuracy_baseline"] == pytest.approx(best, abs=6e-4)
    of_trials = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in of_trials} == {run_id}
    assert len(of_trials) == 2
    assert not [run for run in of_trials if "test_accuracy" in run.data.metrics]
    assert "already recorded: 2" in project.run("python", "-m", "pipeline", "tune").stdout
    preset = project.run("python", "-m", "pipeline", "preset", "tuned").stdout
    assert "baseline.learning_rate: not set -> " in preset
    assert (project.folder / "reports/tuning/report.html").exists()
    assert project.run("python", "-m", "pipeline", "doctor").returncode == 0
