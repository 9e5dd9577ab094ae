"""The real stages, on a project of its own with tiny networks, driven by the real DVC."""

import io
import json
import shutil

import pandas as pd
import pytest

from tests.conftest import TINY, copy_project, runs_of, stages_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(finished_project, tmp_path_factory):
    project = copy_project(finished_project, tmp_path_factory.mktemp("pipeline") / "copy")
    project.output = finished_project.output
    return project


def test_both_networks_are_trained_evaluated_and_reported(project):
    assert set(stages_run(project.output)) == {
        "prepare",
        "train@baseline-dropblock-0",
        "train@model-dropblock-0",
        "evaluate@baseline-dropblock-0",
        "evaluate@model-dropblock-0",
        "report",
        "register",
    }
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    for network in ("baseline", "resnet"):
        assert 0 < metrics[network]["test_accuracy"] <= 1
    history = pd.read_csv(project.folder / "outputs/history/model-dropblock-0.csv")
    assert list(history["epoch"]) == [1, 2]
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate",
            "keep_prob", "images_per_second"} <= set(history)  # fmt: skip


def test_each_training_has_one_finished_run_with_everything(project):
    client, runs = runs_of(project)
    by_name = {run.info.run_name: run for run in runs}
    assert set(by_name) >= {"baseline block=1 seed=0", "resnet block=5 seed=0"}
    run = by_name["resnet block=5 seed=0"]
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    assert {"width", "drop_block_size", "train.clip_norm", "data.sharpen", "augment.crop_pixels",
            "tensorflow", "seed"} <= set(run.data.params)  # fmt: skip
    history = pd.read_csv(project.folder / "outputs/history/model-dropblock-0.csv")
    points = client.get_metric_history(run_id, "val_accuracy")
    assert [(m.step, m.value) for m in points] == list(
        zip(history["epoch"], history["val_accuracy"], strict=True)
    )
    saved = json.loads(
        (project.folder / "outputs/evaluation/model-dropblock-0/metrics.json").read_text()
    )
    assert run.data.metrics["test_accuracy"] == saved["scores"]["best"]["test"]["accuracy"]
    assert {i.dataset.name for i in run.inputs.dataset_inputs} == {
        "digits train", "digits validation", "digits test",
    }  # fmt: skip
    artifacts = {item.path for item in client.list_artifacts(run_id)}
    assert {"figures", "params.yaml", "requirements.lock", "model-dropblock-0.csv"} <= artifacts
    assert run.outputs.model_outputs
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.status == "READY"


def test_no_run_is_left_running_and_no_checkpoint_is_left_behind(project):
    _, runs = runs_of(project)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not [p.name for p in (project.folder / ".training").iterdir() if p.is_dir()]


def test_a_second_repro_runs_nothing(project):
    output = project.run("dvc", "repro").stdout
    assert stages_run(output) == []
    assert project.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_metrics_params_and_plots_are_readable(project):
    shown = json.loads(project.run("dvc", "metrics", "show", "--json").stdout)
    values = shown[""]["data"]["reports/metrics.json"]["data"]
    assert set(values) == {"baseline", "resnet", "resnet_minus_baseline"}
    page = project.run("dvc", "plots", "show", "-o", "plots_out").stdout
    html = (project.folder / "plots_out/index.html").read_text()
    assert "index.html" in page
    assert html.count("vega-embed") and "Validation accuracy" in html


def test_a_changed_block_size_reruns_the_resnet_and_the_report_only(project):
    before = len(runs_of(project)[1])
    done = project.run("dvc", "exp", "run", "-n", "block-2", "-S", "model.drop_block_size=2")
    assert stages_run(done.stdout) == [
        "train@model-dropblock-0",
        "evaluate@model-dropblock-0",
        "report",
        "register",
    ]
    _, runs = runs_of(project)
    assert len(runs) == before + 1
    (new,) = [run for run in runs if run.data.tags["dvc.experiment"] == "block-2"]
    assert new.info.run_name == "resnet block=2 seed=0"
    table = pd.read_csv(io.StringIO(project.run("dvc", "exp", "show", "--csv").stdout))
    assert "block-2" in set(table["Experiment"])
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout", "-q")


def test_a_wrong_value_stops_before_anything_runs_with_one_message(project):
    done = project.run("dvc", "exp", "run", "-S", "model.drop_block_size=0", check=False)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "model.drop_block_size = 0: must be a whole number at least 1" in text
    assert "Traceback" not in text
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout", "-q")


def test_without_git_everything_but_the_commit_is_there(project, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns(".git"))
    project.run("dvc", "config", "core.no_scm", "true", cwd=folder)
    changed = [f"{key}={value}" for key, value in {**TINY, "model.epochs": 1}.items()]
    project.run("python", "-m", "pipeline", "preset", "quick", *changed, cwd=folder)
    done = project.run("dvc", "repro", cwd=folder)
    assert {"train@model-dropblock-0", "report", "register"} <= set(stages_run(done.stdout))
    report = (folder / "reports/report.md").read_text()
    assert "Trained at git commit" in report
    assert "no git" in report
    assert "Across experiments" in report
