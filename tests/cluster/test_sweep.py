"""Sweeps on a real cluster of raylets, with real services, that are taken away on the way."""

import json
import re
import subprocess

from dvc.api import DVCFileSystem
from mlflow import MlflowClient

from tests.cluster.services import bucket
from tests.sweep.test_run import without_measured

KEEP = ("baseline-dropblock-0", "baseline-dropblock-1")


def start_sweep(project, cluster, *overrides):
    """Start a sweep as a user would; what it says is readable line by line."""
    return subprocess.Popen(
        ["python", "-u", "-m", "pipeline", "sweep", "--on", cluster.address, *overrides],
        cwd=project.folder, env=project.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run_sweep(project, cluster, *overrides, code=0):
    process = start_sweep(project, cluster, *overrides)
    output = process.communicate(timeout=600)[0]
    assert process.returncode == code, output
    return output


def ledger_of(project, shared):
    """Return the labels of the records in the remote's ledger."""
    client = bucket(shared.s3_address)
    listed = client.list_objects_v2(Bucket="cluster", Prefix=f"{project.remote}/sweep/ledger/")
    return sorted(
        json.load(client.get_object(Bucket="cluster", Key=each["Key"])["Body"])["label"]
        for each in listed.get("Contents", [])
    )


def runs_of(project):
    client = MlflowClient()
    experiment = client.get_experiment_by_name("dropblock-comparison")
    return client.search_runs([experiment.experiment_id], f"tags.`git.commit` = '{project.commit}'")


def comparison(project, revision):
    files = DVCFileSystem(str(project.folder), rev=revision)
    return without_measured(json.loads(files.read_text("reports/comparison.json")))


def assert_all_is_well(project, shared, serial, labels=KEEP):
    """One record and one FINISHED run a training, none RUNNING, the report as the serial one's."""
    assert ledger_of(project, shared) == sorted(labels)
    statuses = [(run.info.run_name, run.info.status) for run in runs_of(project)]
    finished = sorted(name for name, status in statuses if status == "FINISHED")
    assert len(finished) == len(labels) == len(set(finished)), statuses
    assert {status for _, status in statuses} <= {"FINISHED", "KILLED"}
    for run in runs_of(project):
        if run.info.status == "FINISHED":
            history = MlflowClient().get_metric_history(run.info.run_id, "val_loss")
            assert [point.step for point in history] == list(range(1, 7))
    (name,) = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert comparison(project, name) == comparison(serial, None)


def test_a_sweep_on_a_cluster_ends_as_the_serial_repro(project, cluster, shared, serial):
    output = run_sweep(project, cluster)
    assert re.search(r"\[2/2\] baseline-dropblock-\d of .*, all done", output)
    assert_all_is_well(project, shared, serial)
    assert "1 experiments, 1 recorded already" in run_sweep(project, cluster)
