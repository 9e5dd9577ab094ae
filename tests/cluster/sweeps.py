"""Run sweeps on a cluster, and check their results."""

import json
import subprocess
from pathlib import Path

import psutil
from mlflow import MlflowClient

from tests.cluster.services import bucket
from tests.conftest import obey_ctrl_c
from tests.sweep.compared import comparison
from tests.waiting import wait_for

LABELS = ("baseline-dropblock-0", "baseline-dropblock-1")
EPOCHS = 10


def start_sweep(project, cluster, *overrides):
    """Start a sweep as a user would; its output can be read line by line."""
    return subprocess.Popen(
        ["python", "-u", "-m", "pipeline", "sweep", "--on", cluster.address, *overrides],
        cwd=project.folder, env=project.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=obey_ctrl_c,
    )  # fmt: skip


def end(process, code=0):
    output = process.communicate(timeout=900)[0]
    assert process.returncode == code, output
    return output


def run_sweep(project, cluster, *overrides, code=0):
    return end(start_sweep(project, cluster, *overrides), code)


def ledger_of(project, shared):
    """Return the labels of the records in the remote's ledger."""
    client = bucket(shared.s3_address)
    listed = client.list_objects_v2(Bucket="cluster", Prefix=f"{project.remote}/sweep/ledger/")
    records = {
        Path(each["Key"]).stem: client.get_object(Bucket="cluster", Key=each["Key"])["Body"].read()
        for each in listed.get("Contents", [])
    }
    # Each training also has a record under its identity, which ends with its seed.
    return sorted(json.loads(text)["label"] for key, text in records.items() if "-" not in key)


def runs_of(project):
    client = MlflowClient()
    experiment = client.get_experiment_by_name("dropblock-comparison")
    return client.search_runs([experiment.experiment_id], f"tags.`git.commit` = '{project.commit}'")


def assert_all_is_well(project, shared, serial, labels=LABELS):
    """Assert one record and FINISHED run per training, none RUNNING, and the serial report."""
    assert_each_is_there_once(project, shared, labels)
    (name,) = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert comparison(project, name) == comparison(serial(), None)


def assert_each_is_there_once(project, shared, labels=LABELS):
    assert ledger_of(project, shared) == sorted(labels)
    statuses = [(run.info.run_name, run.info.status) for run in runs_of(project)]
    finished = sorted(name for name, status in statuses if status == "FINISHED")
    assert len(finished) == len(labels) == len(set(finished)), statuses
    assert {status for _, status in statuses} <= {"FINISHED", "KILLED"}, statuses
    for run in runs_of(project):
        if run.info.status == "FINISHED":
            history = MlflowClient().get_metric_history(run.info.run_id, "val_loss")
            steps = [point.step for point in history]
            assert steps == list(range(1, EPOCHS + 1)), steps


def processes_of(project, *words):
    """Return the processes of a project's trainings whose command line has these words."""
    found = []
    for process in psutil.process_iter():
        try:
            if set(words) <= set(process.cmdline()):
                environment = process.environ()
                if environment.get("DVC_EXP_BASELINE_REV") == project.commit:
                    found.append(process)
        except psutil.Error:
            continue
    return found


def wait_for_an_epoch(project, sweep):
    """Return a training of a running sweep that has saved a checkpoint."""

    def trained():
        assert sweep.poll() is None, sweep.stdout.read()
        for process in processes_of(project, "pipeline", "train"):
            try:
                folder = process.cwd()
            except psutil.Error:
                continue
            if next(iter(Path(folder).glob(".training/*/epoch-*/state.json")), None):
                return process
        return None

    return wait_for(trained, every=0.4)  # looking at all processes keeps a core busy
