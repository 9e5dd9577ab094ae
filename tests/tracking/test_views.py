import json

from pipeline.tracking import views
from pipeline.tracking.store import EXPERIMENT

TAG = "mlflow.sharedViewState.comparison"


def tags(store):
    return store.get_experiment_by_name(EXPERIMENT).tags


def test_the_view_is_saved_once_in_the_form_of_the_uis_own(store):
    views.save_view(store)
    saved = json.loads(tags(store)[TAG])
    assert saved["name"] == "Comparison"
    assert isinstance(saved["createdAt"], int)
    state = json.loads(saved["state"])
    assert state["selectedColumns"][0] == "metrics.`test_accuracy`"
    before = tags(store)
    views.save_view(store)
    assert tags(store) == before


def test_it_draws_the_mean_of_a_settings_seeds(store):
    views.save_view(store)
    state = json.loads(json.loads(tags(store)[TAG])["state"])
    assert state["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "setting"}],
    }


def test_it_begins_with_the_learning_curves(store):
    views.save_view(store)
    state = json.loads(json.loads(tags(store)[TAG])["state"])
    sections = [section["uuid"] for section in state["compareRunSections"]]
    assert sections[0] == "Learning curves"
    first = state["compareRunCharts"][0]
    assert first["metricSectionId"] == sections[0]
    assert first["type"] == "LINE"
    assert first["selectedMetricKeys"] == ["val_accuracy"]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == set(sections)


def test_the_experiment_is_described(store):
    views.save_description(store, "what it is")
    assert tags(store)["mlflow.note.content"] == "what it is"
