import numpy as np
import pandas as pd
import pytest

from pipeline.reporting.experiments import Experiment, flatten
from pipeline.reporting.sections.experiments import (
    experiment_points,
    experiments_table,
    plot_experiments,
)

X = "model.drop_block_size"


def interval(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.02}


def summary(seeds=1, **accuracies):
    """What an experiment's comparison.json holds; the first network is the reference."""
    reference, *others = accuracies
    return {
        "reference": reference,
        "accuracy": {name: interval(mean) for name, mean in accuracies.items()},
        "differences": {
            name: {**interval(accuracies[name] - accuracies[reference]), "seeds": seeds}
            for name in others
        },
    }


def params(block, width=0.125, **others):
    values = {"model": {"drop_block_size": block, "width": width}, "data": {"path": "/x"}}
    return flatten({**values, **others})


@pytest.fixture
def experiments():
    return [
        Experiment("this run", params(7), summary(baseline=0.5, resnet=0.6)),
        Experiment("small", params(3), summary(baseline=0.5, resnet=0.55, seeds=3)),
        Experiment("large", params(11), summary(baseline=0.5, resnet=0.4)),
    ]


def test_only_the_params_that_differ_are_columns(experiments):
    table = experiments_table(experiments)
    assert list(table.columns) == [
        X, "seeds", "baseline, %", "resnet, %", "resnet minus baseline, points",
    ]  # fmt: skip
    assert table.loc["small"].tolist() == ["3", "3", "50.0", "55.0", "+5.0 (+4.0 to +7.0)"]


def test_the_points_are_in_the_order_of_the_params_numbers(experiments):
    points = experiment_points(experiments, X)
    assert points[X].unique().tolist() == ["3", "7", "11"]
    large = points.query("experiment == 'large' and network == 'resnet'").iloc[0]
    assert (large["accuracy"], large["low"], large["high"]) == pytest.approx((40, 39, 42))


def test_a_block_size_without_dropblock_is_off():
    kept = {"model": {"drop_block_size": 7, "conv_keep_end": 1.0}}
    both = summary(baseline=0.5, resnet=0.6)
    points = experiment_points(
        [
            Experiment("three", params(3), both),
            Experiment("ablation", params(5, train={"variants": ["nodrop"]}), both),
            Experiment("keeps all", flatten(kept), both),
        ],
        X,
    )
    assert points.loc[points["network"] == "resnet", X].tolist() == ["off", "off", "3"]


def test_a_network_alone_has_no_difference(experiments):
    alone = Experiment("alone", params(3), summary(resnet=0.5))
    table = experiments_table([experiments[0], alone])
    assert table.loc["alone"].tolist() == ["3", "0", "", "50.0", ""]
    assert len(experiment_points([experiments[0], alone], X)) == 3


def test_a_third_network_has_its_own_columns(experiments):
    three = Experiment("three", params(3), summary(baseline=0.5, resnet=0.6, sprint=0.7))
    table = experiments_table([experiments[0], three])
    assert table.loc["three", "sprint minus baseline, points"] == "+20.0 (+19.0 to +22.0)"
    assert table.loc["this run", "sprint minus baseline, points"] == ""


def test_what_the_digest_stands_for_and_looks_alone_are_left_out():
    values = {"data": {"path": "a"}, "report": {"dpi": 1}, "train": {"seeds": [0]}, "other": None}
    assert flatten(values) == {"train.seeds": [0]}


def test_points_of_experiments_stand_at_their_value_with_their_interval():
    table = pd.DataFrame(
        {
            "network": ["baseline", "resnet", "baseline", "resnet"], "block": ["1", "1", "5", "5"],
            "accuracy": [40.0, 50.0, 40.0, 55.0], "low": [39.0, 48.0, 39.0, 54.0],
            "high": [41.0, 51.0, 41.0, 57.0],
        }
    )  # fmt: skip
    axis = plot_experiments(table, "block").axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "5"]
    resnet = axis.containers[1]
    x, y = resnet.lines[0].get_data()
    assert [round(place) for place in x] == [0, 1]
    assert list(y) == [50, 55]
    (segments,) = resnet.lines[2]
    assert [s[:, 1].tolist() for s in segments.get_segments()] == [[48, 51], [54, 57]]


def test_a_single_experiment_stands_in_the_middle():
    row = {"block": "5", "low": 48.0, "accuracy": 50.0, "high": 51.0}
    table = pd.DataFrame([{"network": name, **row} for name in ("baseline", "resnet")])
    axis = plot_experiments(table, "block").axes[0]
    assert axis.get_xlim() == (-0.5, 0.5)
    places = [container.lines[0].get_xdata()[0] for container in axis.containers]
    assert np.mean(places) == pytest.approx(0)
