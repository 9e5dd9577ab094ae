import json

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.reporting import results
from tests.conftest import with_train


def test_all_trainings_come_back_as_tables(workspace, made_results):
    loaded = results.load_results(made_results([0, 1]))
    networks = ("baseline", "resnet")
    assert (loaded.networks, loaded.seeds) == (networks, [0, 1])
    assert set(loaded.predictions) == {(n, "dropblock", s) for n in networks for s in (0, 1)}
    assert len(loaded.history) == 4 * 3
    row = loaded.metrics.query("network == 'resnet' and seed == 1").iloc[0]
    file = workspace / "outputs/evaluation/model-dropblock-1/metrics.json"
    saved = json.loads(file.read_text())
    assert row["best_test_accuracy"] == saved["scores"]["best"]["test"]["accuracy"]
    history = pd.read_csv(workspace / "outputs/history/model-dropblock-1.csv")
    kept = loaded.history.query("network == 'resnet' and seed == 1")
    assert list(kept["watched_loss"]) == list(history["val_loss"])


def test_the_variants_are_kept_apart(made_results):
    loaded = results.load_results(made_results(variants=["dropblock", "nodrop"]))
    assert loaded.variants == ("dropblock", "nodrop")
    ablated = loaded.of("nodrop")
    assert set(ablated.metrics["variant"]) == set(ablated.history["variant"]) == {"nodrop"}
    assert set(ablated.predictions) == {("baseline", "nodrop", 0), ("resnet", "nodrop", 0)}


def test_what_has_no_results_is_named(made_results):
    params = made_results([0, 1])
    with pytest.raises(UserError, match="no results for baseline-dropblock-2 and 1 more; run `dvc"):
        results.load_results(with_train(params, seeds=[0, 1, 2]))


def test_predictions_that_are_no_numbers_are_refused(workspace, made_results):
    params = made_results([0, 1])
    file = workspace / "outputs/evaluation/model-dropblock-0/predictions.npz"
    with np.load(file) as saved:
        arrays = dict(saved)
    arrays["log_probabilities"][3, 4] = np.nan
    np.savez(file, **arrays)
    with pytest.raises(UserError, match="of resnet-dropblock-0 are not numbers"):
        results.load_results(params)


@pytest.mark.parametrize("name", ["labels", "groups"])
def test_different_test_sets_are_refused(workspace, made_results, name):
    params = made_results()
    file = workspace / "outputs/evaluation/model-dropblock-0/predictions.npz"
    with np.load(file) as saved:
        arrays = dict(saved)
    arrays[name] = arrays[name][::-1]
    np.savez(file, **arrays)
    with pytest.raises(UserError, match=rf"were scored on different images \({name} differ\)"):
        results.load_results(params)
