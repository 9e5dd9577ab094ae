from pipeline.reporting.results import load_results
from pipeline.reporting.sections.protocol import commits, differences, protocol, sizes
from tests.conftest import with_train
from tests.made_up_results import write_results


def test_the_tutorials_own_protocol_is_said_to_flatter(workspace, params):
    write_results(workspace, seeds=[0], watched="test")
    said = " ".join(protocol(load_results(params), params))
    assert "one fixed draw" not in said
    assert "The test set decided when to stop" in said


def test_the_validation_images_are_said_to_have_chosen(workspace, params):
    write_results(workspace, seeds=[0])
    results = load_results(params)
    said = " ".join(protocol(results, params))
    assert "The validation images chose the epoch" in said
    assert sizes(results, params) == (
        "Widths: 0.125 (baseline), 0.125 (resnet); at most 8 and 6 epochs."
    )
    assert commits(results) == ["abcdef0123"]
    assert "one fixed draw (`data.seed` 0)" in said
    results.metadata["params"]["split_by_seed"] = True
    assert "Each seed holds out other training images" in " ".join(protocol(results, params))


def test_changes_to_the_commit_are_named(workspace, params):
    write_results(workspace, seeds=[0])
    results = load_results(params)
    results.metrics["git_dirty"] = "true"
    assert commits(results) == ["abcdef0123 with changes in files it does not name"]
    results.metrics["git_changes"] = ["params.yaml", "dvc.lock, params.yaml"]
    assert commits(results) == [
        "abcdef0123 with changes in dvc.lock, params.yaml",
        "abcdef0123 with changes in params.yaml",
    ]


def test_only_what_is_trained_is_held_against_the_tutorial(params, published):
    assert "baseline.width 0.125 (1.0)" in differences(params)
    assert "baseline" not in differences(with_train(params, networks=["model"]))
    data = published.data.model_copy(update={"validation_fraction": 0.0})
    exact = published.model_copy(update={"data": data})
    assert differences(exact) == "Every number is the tutorial's."
