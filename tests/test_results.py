import json

import numpy as np
import pandas as pd
import pytest

from pipeline import results
from pipeline.errors import UserError
from tests.conftest import write_results


def test_all_trainings_come_back_as_tables(workspace, params):
    write_results(workspace, seeds=[0, 1])
    loaded = results.load_results(with_seeds(params, [0, 1]))
    assert loaded.seeds == [0, 1]
    assert set(loaded.predictions) == {(n, s) for n in ("baseline", "resnet") for s in (0, 1)}
    assert len(loaded.history) == 4 * 3
    row = loaded.metrics.query("network == 'resnet' and seed == 1").iloc[0]
    file = workspace / "outputs/evaluation/model-1/metrics.json"
    saved = json.loads(file.read_text())
    assert row["best_test_accuracy"] == saved["scores"]["best"]["test"]["accuracy"]
    history = pd.read_csv(workspace / "outputs/history/model-1.csv")
    kept = loaded.history.query("network == 'resnet' and seed == 1")
    assert list(kept["watched_loss"]) == list(history["val_loss"])


def with_seeds(params, seeds):
    train = params.train.model_copy(update={"seeds": seeds})
    return params.model_copy(update={"train": train})


def test_class_accuracy_averages_over_seeds(workspace, params):
    write_results(workspace, seeds=[0, 1])
    loaded = results.load_results(with_seeds(params, [0, 1]))
    table = results.class_accuracy(loaded).set_index("class")
    hits = [
        (loaded.predictions["resnet", seed].argmax(axis=1) == loaded.labels)[loaded.labels == 2]
        for seed in (0, 1)
    ]
    assert table.loc["c2", "resnet"] == pytest.approx(np.mean(hits))
    expected = 100 * (table["resnet"] - table["baseline"])
    assert list(table["difference"]) == pytest.approx(list(expected))
    assert table["difference"].is_monotonic_increasing


def test_confusions_are_shares_of_the_actual_class():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 1, 1, 2, 1, 0, 2, 2])
    loaded = results.Results(
        metrics=pd.DataFrame(),
        history=pd.DataFrame(),
        predictions={("resnet", 0): np.eye(3)[predicted]},
        labels=labels,
        superclasses=labels // 2,
        metadata={"class_names": ["a", "b", "c"], "superclass_names": ["ab", "c"]},
        watched="val",
    )
    table = results.confusions(loaded, "resnet", most=10)
    assert table.iloc[:, :2].to_numpy().tolist()[2] == ["a", "c"]
    assert dict(zip(table["actual"] + table["predicted"], table["percent"], strict=True)) == {
        "ab": 50.0,
        "ba": 50.0,
        "ac": 25.0,
    }
    assert len(results.confusions(loaded, "resnet", most=1)) == 1
    coarse = results.coarse_predictions(loaded, "resnet")
    counts = pd.crosstab(coarse["actual"], coarse["predicted"])
    assert counts.to_numpy().tolist() == [[5, 1], [0, 2]]


@pytest.mark.parametrize(
    "missing",
    [
        "data/prepared/metadata.json",
        "outputs/evaluation/model-0/metrics.json",
        "outputs/evaluation/baseline-0/predictions.npz",
        "outputs/history/model-0.csv",
    ],
)
def test_a_missing_file_is_named_with_the_way_out(workspace, params, missing):
    write_results(workspace, seeds=[0])
    (workspace / missing).unlink()
    with pytest.raises(UserError, match=f"{missing} .*run `dvc repro`"):
        results.load_results(params)


def test_results_of_other_data_are_refused(workspace, params):
    write_results(workspace, seeds=[0])
    file = workspace / "outputs/evaluation/model-0/metrics.json"
    file.write_text(file.read_text().replace('"digest": "d1', '"digest": "ff'))
    with pytest.raises(UserError, match=r"model-0/metrics.json belongs to other data"):
        results.load_results(params)
