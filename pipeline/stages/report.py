"""Stage `report`: compare the networks in reports/report.md and reports/report.html."""

from pipeline.core.files import COMPARISON, HISTORY, METRICS, PREDICTIONS, REPORTS, write_json
from pipeline.reporting.audit import answers_of, save_answers
from pipeline.reporting.findings import Findings, find, summarise
from pipeline.reporting.page import make_images_page, make_page, render_html, write_page
from pipeline.settings.params import Params

# In a file of their own, so that a report can be published without images whose licence forbids it.
IMAGES = REPORTS / "images.html"


def report(params: Params) -> str:
    """Write all of reports/ and return the headline.

    Raises:
        UserError: results are missing, or belong to different data.
    """
    findings = find(params)
    page = make_page(findings)
    write_json(COMPARISON, {"headline": page.headline, **summarise(findings)})
    save_answers(PREDICTIONS, answers_of(findings.everything))
    findings.everything.history.to_csv(HISTORY, index=False)
    write_json(METRICS, collect_metrics(findings))
    write_page(page, REPORTS)
    IMAGES.write_text(render_html(make_images_page(findings)))
    return page.headline


def collect_metrics(findings: Findings) -> dict[str, dict[str, float]]:
    """Return the few numbers that `dvc metrics show` and `dvc exp show` list."""
    results = findings.results
    kept = [f"best_{name}" for name in ("test_accuracy", "test_loss", "val_accuracy")]
    means = results.means[[c for c in kept if c in results.metrics]]
    means = means.rename(columns=lambda column: column.removeprefix("best_"))
    metrics = {name: means.loc[name].round(6).to_dict() for name in results.networks}
    for name, comparison in findings.comparisons.items():
        found = comparison.difference
        metrics[f"{name}_minus_{results.reference}"] = {
            "test_accuracy": round(found.mean, 6),
            "low": round(found.low, 6),
            "high": round(found.high, 6),
        }
    return metrics
