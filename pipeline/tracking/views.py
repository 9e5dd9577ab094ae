"""A saved view of the runs in MLflow's UI: its columns, its charts, and means over seeds.

Saved in the same form as by the UI's menu "Views": a tag of the experiment (MLflow 3.17).
"""

import json
from typing import Any

from mlflow import MlflowClient

from pipeline.tracking.store import EXPERIMENT, open_store

VIEW = "comparison"  # in the page's address: viewStateShareKey=comparison
NAME = "Comparison"
NOTE = "mlflow.note.content"  # the description of an experiment, a run or a model, in Markdown
SETTING = "setting"  # tag of a run: what its seeds share; the charts draw their mean
_TAG = f"mlflow.sharedViewState.{VIEW}"
_SAVED = 1_750_000_000_000  # milliseconds since 1970; a fixed time, so that the tag stays the same

COLUMNS = (
    "metrics.`test_accuracy`",
    "metrics.`test_loss`",
    "metrics.`training_epochs`",
    "metrics.`training_minutes`",
)
# Title, type, metric, scale. A metric each: MLflow's legends have room for two lines, and it titles
# charts of several metrics by the metrics' names.
SECTIONS: dict[str, list[tuple[str, str, str, str]]] = {
    "Learning curves": [
        ("Validation accuracy", "LINE", "val_accuracy", "linear"),
        ("Training accuracy, images as they are", "LINE", "clean_train_accuracy", "linear"),
        ("Validation loss", "LINE", "val_loss", "log"),
        ("Training loss, images as they are", "LINE", "clean_train_loss", "log"),
    ],
    "Scores on the test set": [
        ("Test accuracy", "BAR", "test_accuracy", "linear"),
        ("Test loss", "BAR", "test_loss", "linear"),
        ("Compute, PFLOP", "LINE", "pflop", "linear"),
    ],
    "Schedules": [
        ("Learning rate", "LINE", "learning_rate", "linear"),
        ("Keep probability", "LINE", "keep_prob", "linear"),
    ],
}


def save_view(client: MlflowClient) -> None:
    """Save the view with the experiment, unless it is already up to date."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    content = json.dumps(
        {"name": NAME, "createdAt": _SAVED, "updatedAt": _SAVED, "state": json.dumps(_state())}
    )
    if experiment.tags.get(_TAG) != content:
        client.set_experiment_tag(experiment.experiment_id, _TAG, content)


def save_description(description: str) -> None:
    """Save the experiment's description, in Markdown, unless it is already up to date."""
    client = open_store()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment.tags.get(NOTE) != description:
        client.set_experiment_tag(experiment.experiment_id, NOTE, description)


def _state() -> dict[str, Any]:
    return {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": SETTING}],
        },
        "runListHidden": True,  # next to the charts; their legends name the groups
        "isAccordionReordered": True,  # keep this order of the sections; do not sort them by name
        "compareRunSections": [
            {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False,
             "isGenerated": False, "columns": 2}
            for name in SECTIONS
        ],
        "compareRunCharts": [
            chart for name, charts in SECTIONS.items() for chart in _charts(name, charts)
        ],
    }  # fmt: skip


def _charts(section: str, charts: list[tuple[str, str, str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "uuid": f"{section} {number}",
            "type": kind,
            "displayName": title,
            "metricKey": metric,
            "selectedMetricKeys": [metric],
            "metricSectionId": section,
            "runsCountToCompare": 10,
            "isGenerated": False,
            "deleted": False,
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": scale,
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "selectedXAxisMetricKey": "",
            "lineSmoothness": 0,
            "range": {},
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for number, (title, kind, metric, scale) in enumerate(charts)
    ]
