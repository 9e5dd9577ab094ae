"""User's networks: CONTRIBUTING.md's example, another kind, one alone, and a faulty one."""

import json
import re
import shlex

import pytest

from tests.conftest import REPOSITORY, TINY, copy_project, runs_of, stages_run

pytestmark = pytest.mark.slow

GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text().split("## Add a network")[1]
FILE = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1]
PRESET = re.search(r"^\$ python -m pipeline (preset .*)$", GUIDE, re.MULTILINE)[1]


@pytest.fixture
def project(finished_project, tmp_path):
    return copy_project(finished_project, tmp_path / "copy")


def test_a_third_network_is_a_file_and_a_name_in_params(project):
    (project.folder / "pipeline/networks/pyramid.py").write_text(FILE)
    tiny = [f"{key}={value}" for key, value in TINY.items()]
    project.run("python", "-m", "pipeline", *shlex.split(PRESET), *tiny, "pyramid.width=0.03")
    output = project.run("dvc", "repro").stdout
    training = "pyramid-dropblock-0"
    assert stages_run(output) == [f"train@{training}", f"evaluate@{training}", "report", "publish"]

    markdown = (project.folder / "reports/report.md").read_text()
    assert markdown.startswith("# Baseline, resnet or pyramid?\n")
    assert re.search(r"^\| +\| +baseline \| +resnet \| +pyramid \|", markdown, re.MULTILINE)
    assert "### Pyramid against baseline" in markdown
    assert "What the pyramid confuses most" in markdown
    assert "figures/class_difference_pyramid.svg" in markdown
    summary = json.loads((project.folder / "reports/comparison.json").read_text())
    assert set(summary["differences"]) == {"resnet", "pyramid"}
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    assert {"pyramid", "pyramid_minus_baseline", "resnet_minus_baseline"} <= set(metrics)

    _, runs = runs_of(project)
    (run,) = [run for run in runs if run.data.tags["network"] == "pyramid"]
    assert run.info.status == "FINISHED"
    assert (run.data.params["epochs"], run.data.params["learning_rate"]) == ("2", "0.05")
    table = project.run("python", "-m", "pipeline", "lookup").stdout
    assert re.search(r"workspace .*\| pyramid ", table)


def test_a_network_can_be_run_alone(project):
    done = project.run("dvc", "exp", "run", "-n", "alone", "-S", "train.networks=[model]")
    assert stages_run(done.stdout) == ["report", "publish"]
    markdown = (project.folder / "reports/report.md").read_text()
    assert "No verdict: the resnet was trained alone" in markdown
    assert project.run("dvc", "status").stdout.strip().endswith("up to date.")
