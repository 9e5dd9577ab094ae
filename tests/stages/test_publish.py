import json
import shutil
import subprocess

import matplotlib.pyplot as plt
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.core.files import hash_file
from pipeline.evaluation.outputs import load_metrics
from pipeline.settings.trainings import Training
from pipeline.stages import publish as stage
from pipeline.stages.evaluate import evaluate
from pipeline.stages.publish import Published, choose_champion, publish
from pipeline.stages.train import train
from pipeline.tracking.registry import Registry
from pipeline.tracking.runs import HISTORY, TRAINING, TrackedRun
from pipeline.tracking.views import COLUMNS, SECTIONS
from tests.conftest import with_train
from tests.made_up_results import DIGEST, LOCK, write_models, write_report, write_results
from tests.small_model import leave_run, log_small_model
from tests.store_contents import contents, everything

BASELINE, RESNET = (Training(network, "dropblock", 0) for network in ("baseline", "model"))


@pytest.fixture
def results(workspace, store, monkeypatch):
    """The results of both networks with weights and a report, in a git repository."""
    write_results(workspace, seeds=[0])
    write_models(workspace)
    write_report(workspace)
    (workspace / "dvc.lock").write_text(LOCK.format("f00d1234"))
    for role in ("AUTHOR", "COMMITTER"):
        for what, value in (("NAME", "t"), ("EMAIL", "t@t.t"), ("DATE", "2026-01-01T00:00Z")):
            monkeypatch.setenv(f"GIT_{role}_{what}", value)  # the same commit in each test
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "start"], check=True)
    return workspace


@pytest.fixture
def one_figure(monkeypatch):
    """Draw one figure a training: all take seconds."""

    monkeypatch.setattr(stage, "draw_figures", lambda *_: {"a.png": plt.figure()})


def runs(store):
    """The runs by name and status."""
    return {(run.info.run_name, run.info.status): run for run in store.search_runs(["1"])}


def test_an_empty_store_is_filled_and_then_left_as_it_is(results, store, params):
    said = publish(params)
    assert "is champion of digits-d1d1d1d1 with validation accuracy" in said
    assert said.endswith("; kept as experiment repro-f00d123")
    before = everything(results)
    assert publish(params) == said.removesuffix("; kept as experiment repro-f00d123")
    assert everything(results) == before
    filled = contents(results)
    assert [run["name"] for run in filled["runs"]] == [
        (training.label, "FINISHED") for training in (BASELINE, RESNET)
    ]
    for run in filled["runs"]:
        assert [step for step, _ in run["points"]["val_accuracy"]] == [1, 2, 3]
        assert {"test_accuracy", "training_minutes", "pflop"} <= set(run["points"])
        assert {"learning_rate", "flops", "data.source", "keras"} <= set(run["params"])
        assert {name for name, *_ in run["data"]} == {
            "digits train", "digits validation", "digits test",
        }  # fmt: skip
        assert {"scores.csv", "figures/confusion.png", "figures/dropblock.png",
                "report/report.html", "report/figures/seeds.svg"} <= set(run["files"])  # fmt: skip
        assert run["tags"]["dvc.experiments"] == "repro-f00d123"
    assert [status for _, status, *_ in filled["models"]] == ["READY"] * 2
    ((_, _, aliases, versions),) = filled["registry"]
    assert set(aliases) == {"champion", "challenger"} and len(versions) == 2
    described = filled["experiment"]["mlflow.note.content"]
    assert "**the resnet is ahead** [Report](#/experiments/1/runs/" in described


AFTER, BEFORE = 1, 0
STEPS = {
    "a run is made": (MlflowClient, "create_run", AFTER),
    "a data set is named": (TrackedRun, "log_dataset", AFTER),
    "the curves are sent": (TrackedRun, "send_history", AFTER),
    "the scores are logged": (TrackedRun, "log_scores", AFTER),
    "a model is half uploaded": (MlflowClient, "log_model_artifacts", BEFORE),
    "a model has no tags yet": (MlflowClient, "set_logged_model_tags", BEFORE),
    "a model is there": (TrackedRun, "link_scores", BEFORE),
    "its scores are linked": (TrackedRun, "link_scores", AFTER),
    "the registered model is made": (MlflowClient, "create_registered_model", AFTER),
    "a version has no alias yet": (MlflowClient, "set_registered_model_alias", BEFORE),
    "there is a champion but no challenger": (Registry, "register", AFTER),
    "the report is not there yet": (stage, "attach_report", BEFORE),
    "the experiment is not described yet": (stage, "save_description", BEFORE),
    "the result is kept": (stage, "save_workspace", AFTER),
}
QUICK = ("a run is made", "a model is half uploaded", "there is a champion but no challenger",
         "the result is kept")  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted():
    """What is in the store of a publication that was not interrupted, once there is one."""
    return {}


@pytest.mark.parametrize(
    "step", [pytest.param(s, marks=() if s in QUICK else pytest.mark.slow) for s in STEPS]
)
def test_what_was_interrupted_ends_like_what_was_not(
    results, one_figure, params, monkeypatch, uninterrupted, step
):
    if not uninterrupted:
        whole = shutil.copytree(results, results / "whole")
        with monkeypatch.context() as patch:
            patch.chdir(whole)
            patch.delenv("MLFLOW_TRACKING_URI")  # which MLflow sets
            publish(params)
        uninterrupted |= contents(whole)
    owner, name, moment = STEPS[step]
    work = getattr(owner, name)

    def stop(*arguments, **named):
        if moment is AFTER:
            work(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(KeyboardInterrupt):
            publish(params)
    publish(params)
    assert contents(results) == uninterrupted


def finished(training, history):
    """Make a run of a training that ended well with some history."""
    identity = f"{training.network}-dropblock-identity-0"
    leave_run(history, {TRAINING: identity, "variant": "dropblock", HISTORY: history})


def test_of_two_runs_of_a_training_the_one_with_the_outputs_history_counts(
    results, one_figure, store, params
):
    params = with_train(params, networks=["model"])
    mine = hash_file(RESNET.history_file)
    finished(RESNET, "older")
    finished(RESNET, mine)
    finished(RESNET, "newer")
    publish(params)
    ended = runs(store)
    assert set(ended) == {(mine, "FINISHED"), ("older", "KILLED"), ("newer", "KILLED")}
    counts = ended[mine, "FINISHED"]
    assert "test_accuracy" in counts.data.metrics
    reason = ended["newer", "KILLED"].data.tags["end_reason"]
    assert reason == f"run {counts.info.run_id} replaced it"

    with RESNET.history_file.open("a") as file:  # as `dvc checkout` of another result does
        file.write("4,1,1,1,1,1,1,1.5,0.004,0.1,0.9,32,60,900\n")
    finished(RESNET, hash_file(RESNET.history_file))
    publish(params)
    assert runs(store)[mine, "KILLED"]
    RESNET.history_file.write_text("".join(RESNET.history_file.open().readlines()[:-1]))
    publish(params)
    again = runs(store)[mine, "FINISHED"]
    assert (again.info.run_id, "end_reason" in again.data.tags) == (counts.info.run_id, False)
    assert [status for _, status in runs(store)].count("FINISHED") == 1


def test_epochs_that_the_store_refuses_are_sent_by_the_next_publish(results, store, params):
    with pytest.MonkeyPatch.context() as patched, pytest.raises(UserError, match="MLflow"):
        patched.setattr(MlflowClient, "log_batch", _refuse)
        publish(params)
    publish(params)
    for run in runs(store).values():
        steps = [m.step for m in store.get_metric_history(run.info.run_id, "val_loss")]
        assert steps == [1, 2, 3]


def _refuse(*_, **__):
    raise MlflowException("database is locked")


def test_another_evaluation_changes_the_scores_of_the_same_run_and_model(
    results, one_figure, store, params
):
    publish(params)
    before = contents(results)
    file = RESNET.evaluation_folder / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["scores"]["best"]["test"]["accuracy"] = 0.125
    file.write_text(json.dumps(metrics))
    publish(params)
    after = contents(results)
    assert runs(store)[RESNET.label, "FINISHED"].data.metrics["test_accuracy"] == 0.125
    assert len(after["models"]) == 2
    for table in ("runs", "logged_models", "model_versions"):
        assert after["rows"][table] == before["rows"][table]


@pytest.mark.parametrize(
    "file", [RESNET.facts_file, RESNET.history_file, RESNET.evaluation_folder / "metrics.json"]
)
def test_a_result_that_is_missing_is_named(results, params, file):
    file.unlink()
    with pytest.raises(UserError, match=f"{file} cannot be read .*`dvc repro`"):
        publish(with_train(params, networks=["model"]))


@pytest.mark.slow
def test_a_real_training_is_published_into_the_run_that_it_streamed_to(setup, store, workspace):
    params = with_train(setup.params, networks=["model"])
    train(params, RESNET)
    evaluate(params, RESNET)
    write_report(workspace)
    publish(params)
    metrics = load_metrics(RESNET, setup.prepared.digest)
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FINISHED"
    exact = pytest.approx(metrics["best_test_accuracy"], rel=5e-4)
    assert run.data.metrics["test_accuracy"] == exact
    assert "test_superclass_accuracy" not in run.data.metrics  # the digits have no superclasses
    assert [m.step for m in store.get_metric_history(run.info.run_id, "val_loss")] == [1, 2]
    assert not [name for name in run.data.metrics if "/" in name and not name.startswith("system/")]
    shown = {column.split("`")[1] for column in COLUMNS if column.startswith("metrics.")}
    shown |= {metric for charts in SECTIONS.values() for metric, _, _ in charts}
    assert shown <= set(run.data.metrics)
    model = TrackedRun(store, run).find_model()
    assert model.name == run.info.run_name.replace(".", "-")
    assert model.tags["mlflow.source.name"] == run.data.tags["mlflow.source.name"]
    assert "- Network: " in model.tags["mlflow.note.content"]
    of = {m.key: (m.dataset_name, m.value) for m in model.metrics}
    assert {name for name, _ in of.values()} == {"digits train", "digits validation", "digits test"}
    assert of["test_accuracy"] == ("digits test", run.data.metrics["test_accuracy"])
    assert of["val_loss"][0] == "digits validation"
    assert of["clean_train_accuracy"][0] == "digits train"
    assert not [key for key in of if key.startswith("system/")]
    before = everything(workspace)
    publish(params)
    assert everything(workspace) == before


@pytest.fixture
def choose(workspace, store):
    """Choose the champion of networks with these validation accuracies, each another training.

    A list has the accuracy and loss of each seed.
    """
    write_results(workspace, seeds=[0, 1, 2])
    tracked = {}

    def make(training, accuracy, loss=1.0):
        identity = f"{training.network}-{training.seed}-{accuracy}"
        if identity not in tracked:
            model = log_small_model(identity)
            tracked[identity] = TrackedRun(store, store.get_run(model.source_run_id))
        scores = {"best_val_accuracy": accuracy, "best_val_loss": loss}
        metrics = {**load_metrics(training, DIGEST), "training": identity, **scores}
        return Published(training, tracked[identity], metrics)

    def choose_of(**networks):
        published = []
        for network, scores in networks.items():
            seeds = scores if isinstance(scores, list) else [(scores,)]
            for seed, found in enumerate(seeds):
                published.append(make(Training(network, "dropblock", seed), *found))
        return choose_champion(published)

    return choose_of


def aliases():
    registry = Registry("digits", DIGEST)
    found = {alias: registry.find(alias) for alias in ("champion", "challenger")}
    return {alias: version and version.tags["run_name"] for alias, version in found.items()}


def test_the_better_network_by_validation_accuracy_is_champion(choose):
    said = choose(baseline=0.6, model=0.7)
    assert "model-dropblock-0 is champion of digits-d1d1d1d1" in said
    assert aliases() == {"champion": "model-dropblock-0", "challenger": "baseline-dropblock-0"}


def test_only_a_better_one_takes_the_champions_place(choose):
    choose(baseline=0.6, model=0.7)
    assert "model-dropblock-0, from an earlier run, stays champion" in choose(
        baseline=0.7, model=0.65
    )
    assert aliases() == {"champion": "model-dropblock-0", "challenger": "baseline-dropblock-0"}
    assert "baseline-dropblock-0 is champion" in choose(baseline=0.71, model=0.65)
    assert aliases() == {"champion": "baseline-dropblock-0", "challenger": "model-dropblock-0"}


def test_a_worse_network_does_not_take_the_challengers_place(choose):
    choose(baseline=0.6, model=0.7)
    assert choose(baseline=0.5, model=0.7).endswith("challenger: baseline-dropblock-0, 60.00 %")
    assert choose(baseline=0.65, model=0.7).endswith("challenger: baseline-dropblock-0, 65.00 %")
    assert choose(model=0.8).endswith("challenger: baseline-dropblock-0, 65.00 %")
    assert choose(baseline=0.66).endswith("challenger: baseline-dropblock-0, 66.00 %")


def test_at_a_tie_the_champion_stays(choose):
    choose(baseline=0.7, model=0.6)
    choose(model=0.7)
    assert "baseline-dropblock-0 is champion" in choose(baseline=0.7, model=0.5)
    assert aliases() == {"champion": "baseline-dropblock-0", "challenger": "model-dropblock-0"}


def test_the_order_of_the_runs_does_not_decide_the_places(choose):
    choose(model=0.8)
    assert choose(baseline=0.7).endswith("challenger: baseline-dropblock-0, 70.00 %")
    assert "stays champion" in choose(model=0.79, baseline=0.75)
    assert Registry("digits", DIGEST).get("challenger").tags["val_accuracy"] == "0.75"


def test_a_beaten_champion_is_challenger_if_it_is_better_than_the_second(choose):
    choose(baseline=0.6, model=0.7)
    assert choose(baseline=0.75, model=0.65).endswith("challenger: model-dropblock-0, 70.00 %")


def test_a_network_alone_is_champion_without_a_challenger(choose):
    said = choose(baseline=0.6)
    assert said.startswith("baseline-dropblock-0 is champion")
    assert "challenger" not in said
    assert aliases() == {"champion": "baseline-dropblock-0", "challenger": None}


@pytest.mark.parametrize(
    ("made", "lacking"),
    [
        ({"watched": "test"}, "validation images"),  # the test set never chooses
        ({"watched": None}, "validation images"),
        ({"scored": "val"}, "test scores"),  # a recipe that is only tried
    ],
)
def test_without_both_scores_there_is_no_champion(made_results, made, lacking):
    trainings = made_results(**made).trainings
    published = [Published(t, None, load_metrics(t, DIGEST)) for t in trainings]
    assert f"no champion without {lacking}" in choose_champion(published)


def test_each_networks_best_seed_stands_for_it(choose):
    said = choose(baseline=[(0.5, 1.0), (0.6, 1.0), (0.55, 1.0)],
                  model=[(0.7, 1.1), (0.6, 0.9), (0.7, 1.0)])  # fmt: skip
    assert "model-dropblock-2 is champion of digits-d1d1d1d1" in said
    assert aliases() == {"champion": "model-dropblock-2", "challenger": "baseline-dropblock-1"}


def test_a_champion_that_this_run_equals_with_another_seed_is_not_called_earlier(choose):
    choose(model=[(0.7, 1.0)])
    said = choose(model=[(0.7, 1.0), (0.7, 0.9)])
    assert said.startswith("model-dropblock-0 is champion of digits-d1d1d1d1")
