"""Run the real stages with the real DVC, in a separate project with tiny networks."""

import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.core.files import hash_file
from tests.conftest import TINY, copy_project, project_in, run_name, runs_of, stages_run
from tests.store_contents import everything

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
        "publish",
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
    assert set(by_name) == {run_name("baseline"), run_name()}
    run = by_name[run_name()]
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    facts = json.loads((project.folder / "outputs/facts/model-dropblock-0.json").read_text())
    assert run.data.tags["training"] == facts["training"]
    assert {"width", "drop_block_size", "train.clip_norm", "data.sharpen", "augment.crop_pixels",
            "tensorflow", "seed"} <= set(run.data.params)  # fmt: skip
    history = pd.read_csv(project.folder / "outputs/history/model-dropblock-0.csv")
    points = client.get_metric_history(run_id, "val_accuracy")
    assert [m.step for m in points] == list(history["epoch"])
    np.testing.assert_allclose([m.value for m in points], history["val_accuracy"], rtol=5e-4)
    saved = json.loads(
        (project.folder / "outputs/evaluation/model-dropblock-0/metrics.json").read_text()
    )
    exact = saved["scores"]["best"]["test"]["accuracy"]
    assert run.data.metrics["test_accuracy"] == pytest.approx(exact, rel=5e-4)
    assert {i.dataset.name for i in run.inputs.dataset_inputs} == {
        "digits train", "digits validation", "digits test",
    }  # fmt: skip
    artifacts = {item.path for item in client.list_artifacts(run_id)}
    assert {"figures", "report", "params.yaml", "requirements.lock",
            "model-dropblock-0.csv"} <= artifacts  # fmt: skip
    assert run.outputs.model_outputs
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.status == "READY"


def test_no_run_is_left_running_and_no_checkpoint_is_left_behind(project):
    _, runs = runs_of(project)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not [p.name for p in (project.folder / ".training").iterdir() if p.is_dir()]


def contents_of(file):
    """Return a file's content, of an archive those of all its parts."""
    if not zipfile.is_zipfile(file):
        return [file.read_bytes()]
    with zipfile.ZipFile(file) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_nothing_that_dvc_keeps_names_a_run_or_a_model_of_one_store(project):
    client, runs = runs_of(project)
    models = client.search_logged_models([runs[0].info.experiment_id])
    assert len(models) == 2
    ids = [run.info.run_id for run in runs] + [model.model_id for model in models]
    files = [file for folder in ("data", "outputs", "reports") for file in
             (project.folder / folder).rglob("*") if file.is_file()]  # fmt: skip
    assert len(files) > 20
    for file in [*files, project.folder / "dvc.lock"]:
        for content in contents_of(file):
            assert not [each for each in ids if each.encode() in content], file


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
    assert "accuracy.svg" in html and "http" not in html  # it needs no network


def test_a_wrong_value_stops_before_anything_runs_with_one_message(project):
    done = project.run("dvc", "exp", "run", "-S", "model.drop_block_size=0", check=False)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "model.drop_block_size = 0: input should be greater than or equal to 1" in text
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
    assert {"train@model-dropblock-0", "report", "publish"} <= set(stages_run(done.stdout))
    report = (folder / "reports/report.md").read_text()
    assert "Trained at git commit" in report
    assert "no git" in report
    runs = project_in(folder).run("python", "-m", "pipeline", "lookup").stdout
    assert "not in this store" not in runs


def test_a_project_that_was_moved_predicts_and_trains_again_in_its_new_place(
    finished_project, tmp_path
):
    project = copy_project(finished_project, tmp_path / "begun")
    moved = project_in(project.folder.rename(tmp_path / "übrige Läufe"))
    Image.new("L", (50, 80), 90).save(tmp_path / "a.png")
    said = moved.run("python", "-m", "pipeline", "predict", str(tmp_path / "a.png")).stdout
    assert said.count("%") == 5
    before = everything(moved.folder)
    moved.run("python", "-m", "pipeline", "publish")
    assert everything(moved.folder) == before
    moved.run("dvc", "repro", "--force", "--single-item", "train@model-dropblock-0")
    moved.run("dvc", "repro")
    client, runs = runs_of(moved)
    again = [run for run in runs if run.data.tags["network"] == "resnet"]
    assert sorted(run.info.status for run in again) == ["FINISHED", "KILLED"]
    assert len({run.data.tags["training"] for run in again}) == 1
    (counts,) = [run for run in again if run.info.status == "FINISHED"]
    history = moved.folder / "outputs/history/model-dropblock-0.csv"
    assert counts.data.tags["history"] == hash_file(history)
    assert "test_accuracy" in counts.data.metrics
    for run in runs:
        assert run.info.artifact_uri.startswith((moved.folder / "mlartifacts").as_uri())
        assert client.list_artifacts(run.info.run_id)
    assert not project.folder.exists()
