import pytest

from pipeline.experiments import experiments_table, flatten


def comparison(baseline, resnet, seeds=1):
    def interval(mean):
        return {"mean": mean, "low": mean - 0.01, "high": mean + 0.02}

    return {
        "seeds": seeds,
        "accuracy": {"baseline": interval(baseline), "resnet": interval(resnet)},
        "difference": interval(resnet - baseline),
    }


def params(block, width=0.125):
    values = {"model": {"drop_block_size": block, "width": width}, "data": {"path": "/x"}}
    return flatten(values)


@pytest.fixture
def tables():
    rows = [
        ("this run", params(7), comparison(0.5, 0.6)),
        ("small", params(3), comparison(0.5, 0.55, seeds=3)),
        ("large", params(11), comparison(0.5, 0.4)),
    ]
    return experiments_table(rows, "model.drop_block_size")


def test_only_the_params_that_differ_are_columns(tables):
    table, _ = tables
    assert list(table.columns) == [
        "model.drop_block_size", "seeds", "baseline, %", "resnet, %", "difference, points",
    ]  # fmt: skip
    assert table.loc["small"].tolist() == ["3", 3, "50.0", "55.0", "+5.0 (+4.0 to +7.0)"]


def test_the_points_are_in_the_order_of_the_params_numbers(tables):
    _, points = tables
    assert points["model.drop_block_size"].unique().tolist() == ["3", "7", "11"]
    large = points.query("experiment == 'large' and network == 'resnet'").iloc[0]
    assert (large["accuracy"], large["low"], large["high"]) == pytest.approx((40, 39, 42))


def test_a_block_size_without_dropblock_is_off():
    def experiment(block, **others):
        values = {"model": {"drop_block_size": block, "conv_keep_end": 0.9}, **others}
        return flatten(values), comparison(0.5, 0.6)

    kept = {"model": {"drop_block_size": 7, "conv_keep_end": 1.0}}
    rows = [
        ("three", *experiment(3)),
        ("ablation", *experiment(5, train={"variants": ["nodrop"]})),
        ("keeps all", flatten(kept), comparison(0.5, 0.6)),
    ]
    _, points = experiments_table(rows, "model.drop_block_size")
    resnet = points[points["network"] == "resnet"]
    assert resnet["model.drop_block_size"].tolist() == ["off", "off", "3"]


def test_an_incomplete_comparison_has_no_difference():
    partial = {"seeds": 0, "accuracy": {"resnet": {"mean": 0.5, "low": 0.4, "high": 0.6}},
               "difference": None}  # fmt: skip
    rows = [("this run", params(7), comparison(0.5, 0.6)), ("partial", params(3), partial)]
    table, points = experiments_table(rows, "model.drop_block_size")
    assert table.loc["partial"].tolist() == ["3", 0, "", "50.0", ""]
    assert len(points) == 3


def test_what_the_digest_stands_for_and_looks_alone_are_left_out():
    values = {"data": {"path": "a"}, "report": {"dpi": 1}, "train": {"seeds": [0]}}
    assert flatten(values) == {"train.seeds": [0]}
