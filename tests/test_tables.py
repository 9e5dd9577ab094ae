import numpy as np
import pandas as pd
import pytest

from pipeline import tables, tutorial
from pipeline.results import EvaluationSet, Results, load_results
from tests.conftest import write_results
from tests.test_schedules import published  # noqa: F401


@pytest.fixture
def loaded(workspace, params):
    train = params.train.model_copy(update={"seeds": [0, 1], "variants": ["dropblock", "nodrop"]})
    write_results(workspace, seeds=[0, 1], variants=("dropblock", "nodrop"))
    return load_results(params.model_copy(update={"train": train}))


def predicting(classes):
    """Log-probabilities that are highest at the given classes."""
    return np.log(np.eye(3)[classes] * 0.8 + 0.05)


def results_of(predictions, labels, history=None):
    labels = np.array(labels)
    rows = [{"network": n, "variant": v, "seed": s} for n, v, s in predictions]
    return Results(
        metrics=pd.DataFrame(rows),
        history=history if history is not None else pd.DataFrame(),
        predictions=predictions,
        masks={},
        test=EvaluationSet(labels, labels, np.arange(len(labels)), np.zeros(len(labels), bool)),
        metadata={"class_names": ["a", "b", "c"]},
        watched="val",
    )


def test_confusions_are_shares_of_the_actual_class_beside_the_other_networks():
    labels = [0, 0, 0, 0, 1, 1, 2, 2]
    results = results_of(
        {
            ("baseline", "dropblock", 0): predicting([0, 0, 0, 1, 1, 1, 2, 2]),
            ("resnet", "dropblock", 0): predicting([0, 1, 1, 2, 1, 0, 2, 2]),
        },
        labels,
    )
    table = tables.confusions(results, "resnet", most=10)
    found = {row[0] + row[1]: tuple(row[2:]) for row in table.itertuples(index=False, name=None)}
    assert found == {"ab": (50, 25, -25), "ba": (50, 0, -50), "ac": (25, 0, -25)}
    assert table["resnet, %"].is_monotonic_decreasing
    assert len(tables.confusions(results, "resnet", most=1)) == 1


def history_of(name, seed, accuracies, seconds=10.0):
    count = len(accuracies)
    return pd.DataFrame(
        {
            "network": name, "seed": seed, "epoch": range(1, count + 1),
            "watched_accuracy": accuracies, "elapsed": seconds * np.arange(1, count + 1),
        }
    )  # fmt: skip


def test_levels_tell_when_each_was_first_reached():
    history = pd.concat(
        [
            history_of("baseline", 0, [0.1, 0.35, 0.2, 0.45]),
            history_of("baseline", 1, [0.1, 0.2, 0.3, 0.3]),
            history_of("resnet", 0, [0.3, 0.6], seconds=50),
            history_of("resnet", 1, [0.3, 0.5], seconds=70),
        ]
    )
    keys = [(n, "dropblock", s) for n in ("baseline", "resnet") for s in (0, 1)]
    results = results_of(dict.fromkeys(keys, predicting([0])), [0], history)
    table = tables.levels_table(results, [0.3, 0.4, 0.55, 0.9])
    assert table.index.tolist() == ["30 %", "40 %", "55 %"]
    assert table.loc["30 %"].tolist() == ["2.5", "25", "1.0", "60"]
    assert table.loc["40 %"].tolist() == ["4.0 (1 of 2 seeds)", "40 (1 of 2 seeds)", "2.0", "120"]
    assert table.loc["55 %"].tolist()[:2] == ["never", "never"]
    assert tables.levels_table(results, [0.99]).empty


def test_the_summary_has_means_and_deviations_over_seeds(loaded):
    one = loaded.of("dropblock")
    table = tables.summary_table(one, top_k=5)
    values = 100 * one.metrics.query("network == 'resnet'")["best_test_accuracy"]
    expected = f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
    assert table.loc["test accuracy, %", "resnet"] == expected
    assert table.loc["parameters", "baseline"] == "1,000"
    assert {"train loss", "val top-5 accuracy, %", "test superclass accuracy, %",
            "test calibration error, points", "peak memory, MB", "training time, minutes",
            "MFLOP per image", "epochs run", "best epoch"} <= set(table.index)  # fmt: skip


def test_spread_is_shown_over_several_seeds_only():
    assert tables.mean_and_spread(pd.Series([1.0]), "{:.1f}") == "1.0"
    assert tables.mean_and_spread(pd.Series([1.0, 3.0]), "{:.1f}") == "2.0 ± 1.4"


def test_each_seeds_models_are_compared_on_the_same_images(loaded):
    one = loaded.of("dropblock")
    table = tables.seeds_table(one)
    baseline, resnet = (one.hits(name, [1])[0] for name in ("baseline", "resnet"))
    assert table.loc[1, "only resnet right"] == (resnet & ~baseline).sum()
    assert table.loc[1, "baseline, %"] == f"{100 * baseline.mean():.2f}"


def test_the_ablation_sets_the_same_seeds_with_and_without_dropblock_side_by_side(loaded):
    table = tables.ablation_table(loaded, samples=1_000)
    with_block, without = (loaded.of(v).hits("resnet", [0, 1]).mean() for v in loaded.variants)
    assert table.loc["with DropBlock", "resnet"].startswith(f"{100 * with_block:.1f} %")
    added = table.loc["what DropBlock adds", "resnet"]
    assert added.startswith(f"{100 * (with_block - without):+.1f} points")


def test_the_score_without_duplicates_keeps_the_first_of_each_group(loaded):
    one = loaded.of("dropblock")
    table = tables.duplicates_table(one, samples=1_000)
    assert table.index.tolist() == [
        "all 60 test images", "without duplicates, 58", "the duplicates left out, 2",
    ]  # fmt: skip
    kept = np.ones(60, bool)
    kept[[0, 8]] = False
    hits = one.hits("baseline", [0, 1])[:, kept].mean()
    assert table.loc["without duplicates, 58", "baseline"] == f"{100 * hits:.2f} %"


def test_the_published_figures_stand_beside_this_runs(loaded):
    table = tables.published_table(loaded.of("dropblock"))
    assert table.loc["part 7: residual network", "test accuracy, %"] == "70.7"
    mean = loaded.of("dropblock").metrics.query("network == 'resnet'")["best_test_accuracy"].mean()
    assert table.loc["this run: resnet (part 7)", "test accuracy, %"] == f"{100 * mean:.1f}"


def test_confidence_is_said_to_be_too_high_or_too_low():
    sure = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.5, 0.7], "count": [1, 3]})
    said = tables.describe_calibration({"resnet": sure})
    assert "mean confidence 80.0 %, accuracy 65.0 % (overconfident)" in said
    assert "error 15.0 points" in said


def test_the_tutorial_preset_is_the_tutorials_recipe_but_for_the_validation_split(published):  # noqa: F811
    assert tutorial.differences(published.model_dump()) == [("data.validation_fraction", 0.1, 0.0)]
