from pipeline.reporting.results import load_results
from pipeline.reporting.sections.protocol import (
    commits,
    dates,
    describe_run,
    describe_watching,
    differences,
    protocol,
    sizes,
)
from tests.conftest import checked, with_train


def test_test_images_that_stop_a_training_are_said_to_flatter(made_results, params):
    results = load_results(made_results(watched="test"))
    said = " ".join(protocol(results, checked(**{"recipe.stop_after_rising": 3})))
    assert "drawn once" not in said
    assert "decided when to stop" in said and "too optimistic" in said
    fixed = " ".join(protocol(results, params))
    assert "They did not choose the epoch" in fixed and "too optimistic" not in fixed


def test_the_tutorials_own_protocol_has_no_validation_split():
    own = describe_watching("test", stops=True, validation_images=0)
    assert "no validation split: the tutorial's own protocol" in own
    assert "no validation split" not in describe_watching("test", True, 100)


def test_the_validation_images_are_said_to_have_chosen(results, params):
    said = " ".join(protocol(results, params))
    assert "The validation images chose the epoch" in said
    assert sizes(results, params) == (
        "Widths: 0.125 (baseline), 0.125 (resnet); at most 8 and 6 epochs."
    )
    assert commits(results) == ["abcdef0123"]
    assert "drawn once (`data.seed` 0)" in said
    results.metadata["params"]["split_by_seed"] = True
    assert "Each seed holds out different training images" in " ".join(protocol(results, params))


def test_images_that_were_not_scored_were_not_read(made_results):
    params = made_results(scored="val")
    said = " ".join(protocol(load_results(params), params))
    assert "the test images were not read." in said and "read once" not in said


def test_each_machine_and_version_is_named_once(results, params):
    before = protocol(results, params)
    results.metrics["tensorflow"] = ["2.0", "9.9"]
    after = [line for line in protocol(results, params) if line not in before]
    assert len(after) == 1
    assert after[0].startswith("Software: TensorFlow 2.0, ")
    assert "; or TensorFlow 9.9, " in after[0]


def test_changes_to_the_commit_are_named(results, params):
    results.metrics["git_dirty"] = "true"
    assert commits(results) == ["abcdef0123 with changes in unnamed files"]
    results.metrics["git_changes"] = ["params.yaml", "dvc.lock, params.yaml"]
    assert commits(results) == [
        "abcdef0123 with changes in dvc.lock, params.yaml",
        "abcdef0123 with changes in params.yaml",
    ]
    assert describe_run(results, params).endswith("; commit abcdef0123.")
    results.metrics["git_commit"] = ""
    assert describe_run(results, params).endswith("; commit no git.")


def test_only_what_is_trained_is_compared_with_the_tutorial(params, published):
    _, table = differences(params)
    assert table.loc["baseline.width"].tolist() == ["0.125", "1.0"]
    _, alone = differences(with_train(params, networks=["model"]))
    assert not alone.index.str.startswith("baseline").any()
    data = published.data.model_copy(update={"validation_fraction": 0.0})
    exact = with_train(published.model_copy(update={"data": data}), watch="test")
    assert differences(exact) == ["All params have the tutorial's values."]


def test_a_run_is_named_by_its_preset_and_what_differs(results, params):
    assert describe_run(results, params) == (
        "Data: digits; params: preset quick; trained 2026-11-28; commit abcdef0123."
    )
    changed = checked(**{"model.drop_block_size": 7, "evaluate.flip": True, "data.path": "/data"})
    assert "preset quick with evaluate.flip true and model.drop_block_size 7;" in describe_run(
        results, changed
    )
    many = checked(**{f"augment.{key}": 1 for key in ("crop_pixels", "max_operations")},
                   **{f"recipe.{key}": 0.5 for key in ("momentum", "label_smoothing")})  # fmt: skip
    assert "preset quick with 6 other params;" in describe_run(results, many)


def test_trainings_of_several_days_have_the_first_and_the_last(results, params):
    results.metrics["ended"] = ["2026-11-30T01:00:00+00:00", "2026-11-28T23:00:00+00:00"]
    assert dates(results) == "trained 2026-11-28 to 2026-11-30"
