import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.core.errors import UserError
from pipeline.reporting.audit import read_answers
from pipeline.reporting.findings import find
from pipeline.reporting.results import load_results
from pipeline.reporting.section import Drawing
from pipeline.stages import report as stage
from pipeline.stages.report import collect_metrics

FIGURES = {
    "accuracy", "loss", "accuracy_by_compute", "schedules", "calibration", "confusion",
    "class_difference_resnet", "dropblock",
}  # fmt: skip


def draws_figures(test):
    """Mark a test that looks at the figures."""
    test.draws_figures = True
    return test


@pytest.fixture(autouse=True)
def empty_figures(request, monkeypatch):
    """Drawing is most of a report's time: only tests of figures do it."""
    if not hasattr(request.function, "draws_figures"):
        monkeypatch.setattr(Drawing, "svg", '<svg viewBox="0 0 1 1"></svg>')
        monkeypatch.setattr("seaborn.matrix._draw_figure", lambda figure: None)


def report(params):
    """Write the report of results that are there; return its headline and its text."""
    return stage.report(params), Path("reports/report.md").read_text()


@draws_figures
def test_two_classes_are_enough(workspace, made_results):
    _, markdown = report(made_results([0, 1], classes=2))
    assert "superclass" not in markdown
    assert {"confusion", "calibration"} <= set(re.findall(r"\(figures/([^)]+).svg\)", markdown))


@draws_figures
def test_the_report_has_its_parts_and_no_dead_link(workspace, made_results):
    headline, markdown = report(made_results())
    assert markdown.splitlines()[2] == f"**{headline}**"
    linked = set(re.findall(r"\(figures/([^)]+).svg\)", markdown))
    assert linked == FIGURES
    for figure in linked:
        assert (workspace / f"reports/figures/{figure}.svg").stat().st_size > 5_000
    for row in ("parameters", "epochs run", "test accuracy, %", "seconds per epoch"):
        assert re.search(rf"^\| {row}", markdown, re.MULTILINE)
    for part in (
        "Both networks", "Is the difference real?", "How fast they learn",
        "Calibration", "Test images", "DropBlock", "Duplicates", "Protocol",
    ):  # fmt: skip
        assert f"\n## {part}\n" in markdown
    assert "published" not in markdown.lower()  # only where the data is CIFAR-100
    assert "\n### Differences from the tutorial\n" in markdown
    assert not re.search(r"\{\{|\{%|None\b|nan\b", markdown)


@pytest.mark.slow
@draws_figures
def test_the_html_is_one_self_contained_page(workspace, made_results):
    report(made_results())
    html = (workspace / "reports/report.html").read_text()
    assert html.count("<svg") == len(FIGURES)
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert html.count('<div class="table"><table>') == html.count("</table></div>") > 5


@pytest.mark.slow
@draws_figures
def test_the_same_results_give_the_same_bytes(workspace, made_results):
    params = made_results()
    written = []
    for _ in range(2):
        stage.report(params)
        files = sorted(p for p in (workspace / "reports").rglob("*") if p.is_file())
        written.append({p.name: p.read_bytes() for p in files})
    assert written[0] == written[1]


def test_metrics_are_a_handful_of_named_numbers(workspace, made_results):
    params = made_results()
    metrics = collect_metrics(find(params))
    assert set(metrics) == {"baseline", "resnet", "resnet_minus_baseline"}
    baseline, resnet = (load_results(params).hits(name) for name in ("baseline", "resnet"))
    found = metrics["resnet_minus_baseline"]["test_accuracy"]
    assert found == pytest.approx(resnet.mean() - baseline.mean(), abs=1e-6)
    paired = stats.ttest_rel(*(hits[0].astype(float) for hits in (resnet, baseline)))
    low, high = paired.confidence_interval(0.95)
    assert metrics["resnet_minus_baseline"]["low"] == pytest.approx(low, abs=1e-6)
    assert metrics["resnet_minus_baseline"]["high"] == pytest.approx(high, abs=1e-6)
    assert sum(len(values) for values in metrics.values()) <= 9


def test_the_comparison_file_holds_what_the_report_says(workspace, made_results):
    params = made_results([0, 1, 2])
    report(params)
    comparison = json.loads((workspace / "reports/comparison.json").read_text())
    loaded = load_results(params)
    hits = {name: loaded.hits(name).mean() for name in loaded.networks}
    assert comparison["reference"] == "baseline"
    assert comparison["accuracy"]["resnet"]["mean"] == pytest.approx(hits["resnet"])
    difference = comparison["differences"]["resnet"]
    assert difference["seeds"] == 3
    assert difference["mean"] == pytest.approx(hits["resnet"] - hits["baseline"])
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert comparison["sections"] == {"baseline": "baseline", "resnet": "model"}
    assert comparison["settings"] == {
        "baseline": "baseline-dropblock-identity", "resnet": "model-dropblock-identity",
    }  # fmt: skip


def test_all_epochs_of_all_trainings_are_one_table(workspace, made_results):
    report(made_results(variants=["dropblock", "nodrop"]))
    history = pd.read_csv(workspace / "reports/history.csv")
    assert len(history) == 4 * 3  # two networks, two variants, three epochs
    one = history.query("network == 'resnet' and variant == 'nodrop'")
    written = pd.read_csv(workspace / "outputs/history/model-nodrop-0.csv")
    assert one["watched_loss"].tolist() == pytest.approx(written["val_loss"].tolist())


def test_an_experiments_answers_are_its_own(workspace, made_results):
    params = made_results()
    report(params)
    answers = read_answers(workspace / "reports/predictions.npz")
    assert list(answers) == ["this run/baseline/dropblock/0", "this run/resnet/dropblock/0"]
    loaded = load_results(params)
    right = answers["this run/resnet/dropblock/0"].right
    np.testing.assert_array_equal(right, loaded.hits("resnet")[0])
    assert not (workspace / "reports/experiments").exists()


def test_on_cifar100_the_published_figures_stand_beside_this_runs(workspace, made_results):
    params = made_results()
    file = workspace / "data/prepared/metadata.json"
    file.write_text(file.read_text().replace('"digits"', '"cifar100"'))
    _, markdown = report(params)
    assert re.search(r"part 7: residual network *\| *99.5 \| *0.030 \| *70.7 \| *1.28", markdown)
    accuracy = load_results(params).metrics.query("network == 'resnet'")["best_test_accuracy"]
    assert re.search(rf"this run: resnet.*\| *{100 * accuracy.iloc[0]:.1f} \|", markdown)


@pytest.mark.slow
def test_images_that_must_not_be_published_are_only_in_a_file_of_their_own(workspace, made_results):
    params = made_results()
    report(params)
    pages = [workspace / f"reports/{name}.html" for name in ("report", "images")]
    assert ['<div class="gallery">' in page.read_text() for page in pages] == [True, True]
    file = workspace / "data/prepared/metadata.json"
    file.write_text(file.read_text().replace('"digits"', '"cifar100"'))
    report(params)
    assert ['<div class="gallery">' in page.read_text() for page in pages] == [False, True]
    assert '<a href="images.html">' in pages[0].read_text()


def test_test_images_that_were_watched_are_flagged(workspace, made_results):
    _, markdown = report(made_results(watched="test"))
    assert "The test images were scored after each epoch" in markdown
    assert "val accuracy" not in markdown


def test_a_recipe_that_is_only_tried_gets_no_verdict(workspace, made_results):
    headline, markdown = report(made_results(range(6), scored="val"))
    assert (
        "validation accuracy; the test images were not scored, so there is no verdict" in headline
    )
    assert "test accuracy" not in markdown
    assert "interval" not in headline
    metrics = json.loads((workspace / "reports/metrics.json").read_text())
    assert set(metrics) == {"baseline", "resnet"}
    assert "test_accuracy" not in metrics["resnet"]
    assert metrics["resnet"]["val_accuracy"] > 0


def test_without_a_watched_split_the_report_says_that_nothing_was_chosen(workspace, made_results):
    headline, markdown = report(made_results([0, 1], watched=None))
    assert "test accuracy" in headline
    assert "the last epoch's weights are scored" in markdown
    assert "validation accuracy" not in markdown


def test_trainings_of_different_precision_are_not_compared(workspace, made_results):
    params = made_results()
    file = workspace / "outputs/evaluation/model-dropblock-0/metrics.json"
    file.write_text(file.read_text().replace("float32", "mixed_bfloat16"))
    with pytest.raises(UserError, match=r"differ in train.precision.*bfloat16.*set"):
        report(params)


def test_a_network_that_has_every_image_right_is_reported(workspace, made_results):
    params = made_results()
    file = workspace / "outputs/evaluation/model-dropblock-0/predictions.npz"
    with np.load(file) as saved:
        arrays = dict(saved)
    arrays["log_probabilities"] = np.where(np.eye(10)[arrays["labels"]] == 1, 0.0, -50.0)
    np.savez(file, **arrays)
    _, markdown = report(params)
    assert "### What the resnet confuses most\n\nNothing." in markdown


def test_the_ablation_is_shown_where_it_was_trained(workspace, made_results):
    _, markdown = report(made_results(variants=["dropblock", "nodrop"]))
    assert "each its own DropBlock, minus without" in markdown
    assert "train.variants=[dropblock,nodrop" not in markdown


def test_without_dropblock_alone_the_report_says_so(workspace, made_results):
    params = made_results(variants=["nodrop"])
    for folder in (workspace / "outputs/evaluation").iterdir():
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps({**metrics, "drop_blocks": []}))
        np.savez(folder / "masks.npz")
    _, markdown = report(params)
    assert "(DropBlock: no DropBlock in both networks)" in markdown
    assert "\n## DropBlock\n" not in markdown
    assert "figures/dropblock" not in markdown


def test_names_cannot_break_tables_or_become_html(workspace, made_results):
    params = made_results()
    file = workspace / "data/prepared/metadata.json"
    metadata = json.loads(file.read_text())
    metadata["class_names"] = [f"<script>x|{i}</script>" for i in range(10)]
    file.write_text(json.dumps(metadata))
    report(params)
    html = (workspace / "reports/report.html").read_text()
    assert "<script" not in html
    assert re.search(r"<td[^>]*>&lt;script&gt;x\|\d&lt;/script&gt;</td>", html)


def test_a_network_alone_gives_a_report_without_a_comparison(workspace, made_results):
    headline, markdown = report(made_results(networks=["model"]))
    assert headline.endswith("a single network, so there is no comparison.")
    assert markdown.startswith("# Resnet\n")
    assert "\n## The network\n" in markdown
    assert "No verdict: the resnet was trained alone" in markdown
    assert "Warning" not in markdown
    assert "This also trains the network twice more: without DropBlock" in markdown
    assert json.loads((workspace / "reports/comparison.json").read_text())["differences"] == {}
