"""Stage `report`: compare the networks in reports/report.md and reports/report.html."""

from pathlib import Path

import matplotlib.pyplot as plt

from pipeline.core.files import COMPARISON, METRICS, PREDICTIONS, REPORTS, write_json
from pipeline.core.params import Params
from pipeline.reporting.audit import save_answers
from pipeline.reporting.findings import Findings, find
from pipeline.reporting.page import make_page, render_html, render_markdown
from pipeline.reporting.section import Drawing, Section


def write_report(params: Params) -> str:
    """Write all of reports/ and return the headline.

    Raises:
        UserError: there are no results, or they belong to different data.
    """
    findings = find(params)
    shown = make_page(findings)
    write_json(COMPARISON, {"headline": shown.headline, **findings.compared})
    save_answers(PREDICTIONS, findings.answers)
    write_json(METRICS, collect_metrics(findings))
    write_plot_data(shown.sections, REPORTS / "plots")
    (REPORTS / "report.md").write_text(render_markdown(shown))
    (REPORTS / "report.html").write_text(render_html(shown))
    write_figures(shown.drawings, REPORTS / "figures", params.report.figure_dpi)
    return shown.headline


def collect_metrics(findings: Findings) -> dict[str, dict[str, float]]:
    """Return the handful of numbers that `dvc metrics show` and `dvc exp show` list."""
    results = findings.results
    kept = [f"best_{name}" for name in ("test_accuracy", "test_loss", "val_accuracy")]
    means = results.metrics.groupby("network")[[c for c in kept if c in results.metrics]].mean()
    means.columns = means.columns.str.removeprefix("best_")
    metrics = {name: means.loc[name].round(6).to_dict() for name in results.names}
    for name, comparison in findings.comparisons.items():
        found = comparison.difference
        metrics[f"{name}_minus_{results.reference}"] = {
            "test_accuracy": round(found.mean, 6),
            "low": round(found.low, 6),
            "high": round(found.high, 6),
        }
    return metrics


def write_plot_data(sections: list[Section], folder: Path) -> None:
    """Write the tables behind `dvc plots show`."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for name, table in section.data.items():
            table.to_csv(folder / f"{name}.csv", index=False)


def write_figures(drawings: list[Drawing], folder: Path, dpi: int) -> None:
    """Save figures as PNG, and close them."""
    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        # No software version in the file: the same figure is the same bytes.
        drawing.figure.savefig(folder / f"{drawing.name}.png", dpi=dpi, metadata={"Software": None})
        plt.close(drawing.figure)
