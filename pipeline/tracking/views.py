"""A saved view of the runs in MLflow's UI: its columns, its charts, and means over seeds.

Saved in the same form as by the UI's menu "Views": a tag of the experiment (MLflow 3.17).
"""

import json
from typing import Any

from mlflow import MlflowClient

from pipeline.tracking.store import EXPERIMENT, add_row

VIEW = "comparison"  # in the page's address: viewStateShareKey=comparison
NAME = "Comparison"
NOTE = "mlflow.note.content"  # the description of an experiment, a run or a model, in Markdown
SETTING = "setting"  # tag of a run: what its seeds share; the charts draw their mean
_TAG = f"mlflow.sharedViewState.{VIEW}"
_SAVED = 1_750_000_000_000  # milliseconds since 1970; a fixed time, so that the tag stays the same

RUN_NAME = "tags.`mlflow.runName`"  # a column
COLUMNS = (
    "metrics.`test_accuracy`",
    "metrics.`test_loss`",
    "metrics.`training_epochs`",
    "metrics.`pflop`",
    "metrics.`training_minutes`",
)
# Metric, type, scale. One metric per chart, as MLflow's legends have room for two lines.
SECTIONS: dict[str, list[tuple[str, str, str]]] = {
    "Learning curves": [
        ("val_accuracy", "LINE", "linear"),
        ("clean_train_accuracy", "LINE", "linear"),
        ("val_loss", "LINE", "log"),
        ("clean_train_loss", "LINE", "log"),
    ],
    "Scores on the test set": [
        ("test_accuracy", "BAR", "linear"),
        ("test_loss", "BAR", "linear"),
        ("pflop", "LINE", "linear"),
    ],
    "Schedules": [
        ("learning_rate", "LINE", "linear"),
        ("keep_prob", "LINE", "linear"),
    ],
}


def save_view(client: MlflowClient) -> None:
    """Save the view with the experiment, unless it is already up to date."""
    content = json.dumps(
        {"name": NAME, "createdAt": _SAVED, "updatedAt": _SAVED, "state": json.dumps(_state())}
    )
    _set_tag(client, _TAG, content)


def save_description(client: MlflowClient, description: str) -> None:
    """Save the experiment's description, in Markdown, unless it is already up to date."""
    _set_tag(client, NOTE, description)


def _set_tag(client: MlflowClient, key: str, value: str) -> None:
    """Set a tag of the experiment, unless it has this value already."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment.tags.get(key) != value:
        add_row(lambda: client.set_experiment_tag(experiment.experiment_id, key, value))


def _state() -> dict[str, Any]:
    return {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "columnOrder": [RUN_NAME, *COLUMNS],  # without it, MLflow sorts them by name
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


def _charts(section: str, charts: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "uuid": f"{section} {number}",
            "type": kind,
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
        for number, (metric, kind, scale) in enumerate(charts)
    ]
