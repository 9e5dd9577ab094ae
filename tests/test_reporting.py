import json
import re

import pandas as pd
import pytest

from pipeline import reporting
from pipeline.results import load_results
from tests.conftest import write_results


@pytest.fixture
def loaded(workspace, params):
    write_results(workspace, seeds=[0])
    return load_results(params)


def test_the_report_has_its_parts_and_no_dead_link(workspace, params):
    write_results(workspace, seeds=[0])
    headline = reporting.write_report(params)
    markdown = (workspace / "reports/report.md").read_text()
    assert headline in markdown
    figures = re.findall(r"\((figures/[^)]+)\)", markdown)
    assert len(figures) == 3
    for figure in figures:
        assert (workspace / "reports" / figure).stat().st_size > 5_000
    for row in ("parameters", "epochs run", "test accuracy, %", "seconds per epoch"):
        assert re.search(rf"^\| {row}", markdown, re.MULTILINE)
    assert "published" not in markdown.lower()  # only where the data is CIFAR-100


def test_the_html_is_one_self_contained_page(workspace, params):
    write_results(workspace, seeds=[0])
    reporting.write_report(params)
    html = (workspace / "reports/report.html").read_text()
    assert html.count("data:image/png;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "<table>" in html


def test_the_same_results_give_the_same_bytes(workspace, params):
    write_results(workspace, seeds=[0])
    written = []
    for _ in range(2):
        reporting.write_report(params)
        files = sorted(p for p in (workspace / "reports").rglob("*") if p.is_file())
        written.append({p.name: p.read_bytes() for p in files})
    assert written[0] == written[1]


def test_metrics_are_a_handful_of_named_numbers(loaded, tmp_path):
    reporting.write_metrics(loaded, tmp_path / "metrics.json")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics) == {"baseline", "resnet", "difference"}
    expected = metrics["resnet"]["test_accuracy"] - metrics["baseline"]["test_accuracy"]
    assert metrics["difference"]["test_accuracy"] == pytest.approx(expected, abs=1e-6)
    assert sum(len(values) for values in metrics.values()) <= 8


def metrics_of(accuracies):
    rows = [
        {"network": name, "seed": seed, "best_test_accuracy": value}
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("baseline", "resnet", "says"),
    [
        ([0.65], [0.7], "the resnet is ahead by 5.0 points over 1 seed; too few seeds"),
        ([0.7], [0.65], "the baseline is ahead by 5.0 points over 1 seed; too few seeds"),
        ([0.7], [0.7], "no difference over 1 seed"),
        ([0.6, 0.5], [0.7, 0.8], r"the resnet is ahead by 20.0 points \(from \+10.0 to \+30.0\)"),
    ],
)
def test_the_headline_says_who_is_ahead_and_over_how_many_seeds(loaded, baseline, resnet, says):
    changed = {**vars(loaded), "metrics": metrics_of({"baseline": baseline, "resnet": resnet})}
    assert re.search(says, reporting.make_headline(type(loaded)(**changed)))


def test_on_cifar100_the_published_figures_stand_beside_this_runs(loaded, params):
    loaded.metadata["params"]["source"] = "cifar100"
    markdown = reporting.render_markdown(loaded, params, "headline")
    assert re.search(r"part 7: residual network *\| *99.5 \| *0.030 \| *70.7 \| *1.28", markdown)
    accuracy = loaded.metrics.query("network == 'resnet'")["best_test_accuracy"].iloc[0]
    assert re.search(rf"this run: resnet.*\| *{100 * accuracy:.1f} \|", markdown)


def test_the_tutorials_own_protocol_is_flagged(workspace, params):
    write_results(workspace, seeds=[0], watched="test")
    loaded = load_results(params)
    assert "The test set decided when to stop" in reporting.describe_protocol(loaded)
    assert "val accuracy" not in "".join(reporting.summary_table(loaded).index)


def test_spread_is_shown_over_several_seeds_only():
    assert reporting._mean_and_spread(pd.Series([1.0]), "{:.1f}") == "1.0"
    assert reporting._mean_and_spread(pd.Series([1.0, 3.0]), "{:.1f}") == "2.0 ± 1.4"
