from dataclasses import replace

import pytest

from pipeline.core.git import git
from pipeline.settings import identity
from pipeline.settings.trainings import Training
from pipeline.sweep.plan import Data, list_tasks, plan_points
from pipeline.versioning.overrides import expand
from pipeline.versioning.snapshot import take_snapshot

BLOCKS = "model.drop_block_size=1,3,5,7"


def plan(project, *overrides):
    return plan_points(project, take_snapshot(project), expand(overrides))


def test_a_baseline_that_four_experiments_share_is_trained_once(project):
    points = plan(project, BLOCKS, "train.seeds=[0,1]")
    tasks = list_tasks(points)
    assert len(points) == 4
    labels = [task.training.label for task in tasks]
    assert labels.count("baseline-dropblock-0") == labels.count("baseline-dropblock-1") == 1
    assert labels.count("model-dropblock-0") == labels.count("model-dropblock-1") == 4
    assert len({task.key for task in tasks}) == len({task.result for task in tasks}) == 10
    assert all(task.key.endswith(f"-{task.training.seed}") for task in tasks)


def test_a_shared_key_that_a_network_overrides_does_not_train_it_again(project):
    tasks = list_tasks(plan(project, "recipe.epochs=3,4"))
    labels = [task.training.label for task in tasks]
    assert sorted(labels) == ["baseline-dropblock-0", "model-dropblock-0", "model-dropblock-0"]


def test_experiments_that_differ_in_evaluation_share_trainings_but_not_results(project):
    tasks = list_tasks(plan(project, "evaluate.top_k=3,5"))
    assert len({task.key for task in tasks}) == 2
    assert len({task.result for task in tasks}) == len(tasks) == 4


def test_variants_without_dropblock_are_one_training_but_dvc_keeps_both(project):
    off = ("model.conv_keep_step=0.0", "model.conv_keep_end=1.0", "train.networks=[model]")
    tasks = list_tasks(plan(project, *off, "train.variants=[dropblock,nodrop]"))
    assert [task.training.variant for task in tasks] == ["dropblock", "nodrop"]
    assert len({task.key for task in tasks}) == 1
    assert len({task.weights_key for task in tasks}) == 2


def test_other_data_are_other_trainings_the_same_data_are_not(project):
    points = plan(project, "data.limit=100,150")
    assert len({point.data_key for point in points}) == 2
    assert len(list_tasks(points)) == 4
    data = Data({}, "digest", 90, 10, 32)
    assert len(list_tasks([replace(point, data=data) for point in points])) == 2


def test_an_experiment_on_other_data_has_another_name(project):
    (point,) = plan(project)
    names = {point.with_data(Data({}, digest, 1, 2, 32)).name for digest in ("one", "other")}
    assert len(names | {point.name}) == 3
    assert point.with_data(None) is point


def test_points_that_are_the_same_are_one_experiment(project):
    assert len(plan(project, "model.drop_block_size=3,3")) == 1


def test_names_say_what_differs_and_are_the_same_next_time(project):
    names = [e.name for e in plan(project, "model.drop_block_size=1,3", "train.seeds=[0,1]")]
    assert [name.rsplit("-", 1)[0] for name in names] == ["drop_block_size-1", "drop_block_size-3"]
    again = plan(project, "model.drop_block_size=3", "train.seeds=[0,1]")
    assert again[0].name.rsplit("-", 1)[1] == names[1].rsplit("-", 1)[1]
    assert again[0].name.startswith("sweep-")


def test_names_hold_nothing_that_git_refuses(project, tmp_path):
    seeds = f"train.seeds=[{','.join(map(str, range(40)))}],[0]"
    for experiment in plan(project, seeds, "data.path='https://a.b/c..d'"):
        git(tmp_path, "check-ref-format", f"refs/exps/{experiment.name}")


@pytest.mark.parametrize(
    ("file", "trained", "evaluated"),
    [
        ("pipeline/networks/model.py", {"model"}, {"model"}),
        ("pipeline/training/loop.py", {"model", "baseline"}, {"model", "baseline"}),
        ("pipeline/evaluation/scores.py", set(), {"model", "baseline"}),
        ("pipeline/reporting/page.py", set(), set()),
    ],
)
def test_an_edit_makes_new_results_of_those_whose_code_it_is(
    project, monkeypatch, file, trained, evaluated
):
    monkeypatch.setattr(identity, "ROOT", project)

    def plan_anew():
        identity.code_digest.cache_clear()
        (point,) = plan(project)
        return point.name, {t.training.network: (t.key, t.result) for t in point.tasks}

    name, before = plan_anew()
    with (project / file).open("a") as code:
        code.write("# edited\n")
    new_name, after = plan_anew()
    identity.code_digest.cache_clear()
    assert {network for network in after if after[network][0] != before[network][0]} == trained
    assert {network for network in after if after[network][1] != before[network][1]} == evaluated
    assert new_name != name


def test_a_training_is_in_an_experiment_whose_params_ask_for_it(project):
    points = plan(project, "train.variants=[dropblock],[dropblock,nodrop]")
    nodrop = Training("model", "nodrop", 0)
    assert [nodrop in {task.training for task in point.tasks} for point in points] == [False, True]
    assert len(list_tasks(points)) == 4
