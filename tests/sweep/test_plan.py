import pytest

from pipeline.core.errors import UserError
from pipeline.settings.trainings import Training
from pipeline.sweep.plan import expand, list_trainings, plan_experiments
from pipeline.sweep.snapshot import take_snapshot, unpack
from pipeline.versioning.repository import git

BLOCKS = "model.drop_block_size=1,3,5,7"


def plan(unpacked, *overrides):
    return plan_experiments(*unpacked, overrides)


def training_keys(experiment):
    return {trial.label: keys.training for trial, keys in experiment.keys.items()}


def test_choices_are_multiplied_and_lists_are_values():
    assert expand(["model.drop_block_size=1,3", "train.seeds=[0,1],[2]"]) == [
        ("model.drop_block_size=1", "train.seeds=[0,1]"),
        ("model.drop_block_size=1", "train.seeds=[2]"),
        ("model.drop_block_size=3", "train.seeds=[0,1]"),
        ("model.drop_block_size=3", "train.seeds=[2]"),
    ]
    assert expand([]) == [()]


def test_a_baseline_that_four_experiments_share_is_trained_once(unpacked):
    experiments = plan(unpacked, BLOCKS, "train.seeds=[0,1]")
    trainings = list_trainings(experiments)
    assert len(experiments) == 4
    labels = [training.trial.label for training in trainings]
    assert labels.count("baseline-dropblock-0") == labels.count("baseline-dropblock-1") == 1
    assert labels.count("model-dropblock-0") == labels.count("model-dropblock-1") == 4
    assert len({training.key for training in trainings}) == len(trainings) == 10
    assert all(len(training.evaluations) == 1 for training in trainings)


def test_experiments_that_differ_in_the_report_only_share_all_trainings(unpacked):
    experiments = plan(unpacked, "report.confused_pairs=3,5")
    assert len({experiment.name for experiment in experiments}) == 2
    assert len(list_trainings(experiments)) == 2


def test_experiments_that_differ_in_evaluation_share_trainings_that_are_evaluated_twice(unpacked):
    experiments = plan(unpacked, "evaluate.top_k=3,5")
    trainings = list_trainings(experiments)
    assert [len(training.evaluations) for training in trainings] == [2, 2]
    overrides = [evaluation.overrides for evaluation in trainings[0].evaluations]
    assert overrides == [("evaluate.top_k=3",), ("evaluate.top_k=5",)]


def test_other_data_are_other_trainings(unpacked):
    experiments = plan(unpacked, "data.limit=100,150")
    assert len({experiment.data for experiment in experiments}) == 2
    assert len(list_trainings(experiments)) == 4


def test_points_that_are_the_same_are_one_experiment(unpacked):
    assert len(plan(unpacked, "model.drop_block_size=3,3")) == 1


def test_names_say_what_differs_and_are_the_same_next_time(unpacked):
    names = [e.name for e in plan(unpacked, "model.drop_block_size=1,3", "train.seeds=[0,1]")]
    assert [name.rsplit("-", 1)[0] for name in names] == ["drop_block_size-1", "drop_block_size-3"]
    again = plan(unpacked, "model.drop_block_size=3", "train.seeds=[0,1]")
    assert again[0].name.rsplit("-", 1)[1] == names[1].rsplit("-", 1)[1]
    assert again[0].name.startswith("sweep-")


def test_names_hold_nothing_that_git_refuses(unpacked, tmp_path):
    seeds = f"train.seeds=[{','.join(map(str, range(40)))}],[0]"
    for experiment in plan(unpacked, seeds, "data.url='https://a.b/c..d'"):
        git(tmp_path, "check-ref-format", f"refs/exps/{experiment.name}")


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("pipeline/networks/model.py", {"model-dropblock-0"}),
        ("pipeline/training/loop.py", {"model-dropblock-0", "baseline-dropblock-0"}),
        ("pipeline/data/splits.py", {"model-dropblock-0", "baseline-dropblock-0"}),
        ("pipeline/reporting/page.py", set()),
    ],
)
def test_an_edit_makes_new_trainings_of_those_whose_code_it_is(
    project, unpacked, tmp_path, file, changed
):
    (before,) = plan(unpacked)
    with (project / file).open("a") as code:
        code.write("# edited\n")
    snapshot = take_snapshot(project)
    unpack(snapshot, tmp_path / "edited", None)
    (after,) = plan((snapshot, tmp_path / "edited"))
    new, old = training_keys(after), training_keys(before)
    assert {label for label in new if new[label] != old[label]} == changed
    assert after.name != before.name


def test_params_of_the_clone_are_left_as_they_were(unpacked):
    before = (unpacked[1] / "params.yaml").read_bytes()
    plan(unpacked, BLOCKS)
    assert (unpacked[1] / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.drop_block_sise=3",
            "not a key of params.yaml; did you mean model.drop_block_size?",
        ),
        ("model.drop_block_size=0", "model.drop_block_size"),
        ("model.drop_block_size=[", r"-S 'train.seeds=\[0,1\]' for a list"),
        ("train.seeds=0,1", "train.seeds"),
        ("other.yaml:model.width=1", "changes params.yaml only"),
    ],
)
def test_a_wrong_override_is_one_message(unpacked, override, said):
    with pytest.raises(UserError, match=said):
        plan(unpacked, override)


def test_a_trial_is_in_an_experiment_where_its_params_ask_for_it(unpacked):
    experiments = plan(unpacked, "train.variants=[dropblock],[dropblock,nodrop]")
    assert Training("model", "nodrop", 0) not in experiments[0].keys
    assert Training("model", "nodrop", 0) in experiments[1].keys
    assert len(list_trainings(experiments)) == 4
