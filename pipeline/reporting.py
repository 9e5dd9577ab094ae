"""The comparison as tables, figures, Markdown and HTML: what stage `report` does."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import pandas as pd
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from pipeline import experiments, figures, tables, wording
from pipeline.comparison import Comparison, compare, compare_classes, interval
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.paths import COMPARISON, REPORTS
from pipeline.results import NAMES, Results, load_results, superclass_pairs

BASELINE, RESNET = NAMES
TEMPLATES = Path(__file__).parent / "templates"


def write_report(params: Params) -> str:
    """Write all of reports/ and return the headline.

    Raises:
        UserError: there are no results, or they belong to different data.
    """
    everything = load_results(params)
    results = everything.of(everything.variants[0])
    comparison = compare_networks(results, params.report.bootstrap_samples)
    summary = summarise(results, comparison, params.report.bootstrap_samples)
    REPORTS.mkdir(exist_ok=True)
    COMPARISON.write_text(json.dumps(summary, indent=1) + "\n")
    write_metrics(results, REPORTS / "metrics.json")
    write_plot_data(results, REPORTS / "plots")
    others = read_experiments(summary, params)
    drawn = draw_figures(results, params, others)
    write_figures(drawn, REPORTS / "figures", params.report.figure_dpi)
    headline = wording.headline(results, comparison)
    sections = make_sections(everything, results, comparison, params, others)
    markdown = render_markdown(headline, sections, set(drawn))
    (REPORTS / "report.md").write_text(markdown)
    (REPORTS / "report.html").write_text(render_html(markdown, REPORTS))
    return headline


def compare_networks(results: Results, samples: int) -> Comparison | None:
    """Compare the networks over their paired seeds; None where there is nothing to compare."""
    if set(results.names) != set(NAMES) or not results.paired_seeds or results.diverged:
        return None
    seeds = results.paired_seeds
    baseline, resnet = (results.hits(name, seeds) for name in NAMES)
    return compare(baseline, resnet, seeds, samples)


def summarise(results: Results, comparison: Comparison | None, samples: int) -> dict[str, Any]:
    """Collect the figures by which the reports of other experiments compare themselves."""
    accuracy = {
        name: vars(interval(results.hits(name, results.seeds(name)).astype(float), samples))
        for name in results.names
    }
    return {
        "digest": results.metadata["digest"],
        "seeds": len(comparison.by_seed) if comparison else 0,
        "accuracy": accuracy,
        "difference": vars(comparison.difference) if comparison else None,
        "p_value": comparison.p_value if comparison else None,
    }


def write_metrics(results: Results, file: Path) -> None:
    """Write the handful of numbers that `dvc metrics show` and `dvc exp show` list."""
    kept = [f"best_{name}" for name in ("test_accuracy", "test_loss", "val_accuracy")]
    means = results.metrics.groupby("network")[[c for c in kept if c in results.metrics]].mean()
    means.columns = means.columns.str.removeprefix("best_")
    metrics = {name: means.loc[name].round(6).to_dict() for name in results.names}
    if set(results.names) == set(NAMES):
        difference = means.loc[RESNET, "test_accuracy"] - means.loc[BASELINE, "test_accuracy"]
        metrics["difference"] = {"test_accuracy": round(float(difference), 6)}
    file.write_text(json.dumps(metrics, indent=1) + "\n")


def write_plot_data(results: Results, folder: Path) -> None:
    """Write the tables behind `dvc plots show`: learning curves and superclass confusion."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in results.names:
        history = results.history[results.history["network"] == name]
        curves = history.groupby("epoch")[["watched_accuracy", "watched_loss"]].mean()
        curves.columns = curves.columns.str.removeprefix("watched_")
        curves.to_csv(folder / f"{name}.csv")
        coarse_predictions(results, name).to_csv(folder / f"confusion_{name}.csv", index=False)


def coarse_predictions(results: Results, name: str) -> pd.DataFrame:
    """Return actual and predicted superclass names of all test images, over all seeds."""
    return pd.concat(
        [
            superclass_pairs(predictions, results.test.labels, results.metadata)
            for predictions in results.of_network(name).values()
        ],
        ignore_index=True,
    )


def read_experiments(
    summary: dict[str, Any], params: Params
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Set this run beside all experiments on the same data; None without a DVC repository."""
    try:
        others = experiments.compare_experiments(summary["digest"])
    except UserError:
        return None
    present = experiments.flatten(params.model_dump())
    rows = [("this run", present, summary)]
    rows += [row for row in others if row[1:] != rows[0][1:]]
    return experiments.experiments_table(rows, params.report.experiments_x)


def draw_figures(
    results: Results, params: Params, others: tuple[pd.DataFrame, pd.DataFrame] | None
) -> dict[str, Figure]:
    """Draw the figures that these results allow, by file name without its ending."""
    pairs = {name: coarse_predictions(results, name) for name in results.names}
    drawn = {
        "learning_curves": figures.plot_history(results.history, results.watched),
        "schedules": figures.plot_schedules(results.history),
        "generalisation_gap": figures.plot_gap(results.history, results.watched),
        "confusion": figures.plot_confusion(pairs, results.metadata["superclass_names"]),
        "calibration": figures.plot_calibration(tables.calibration_by_network(results)),
    }
    masks = {
        name: (
            results.metrics.query("network == @name")["drop_blocks"].iloc[0],
            next(m for (network, _, _), m in results.masks.items() if network == name),
        )
        for name in results.names
    }
    if masks := {name: value for name, value in masks.items() if value[0]}:
        drawn["dropblock"] = figures.plot_masks(masks)
    if set(results.names) == set(NAMES) and results.paired_seeds:
        drawn["class_difference"] = figures.plot_class_difference(class_table(results))
        accuracy = results.metrics[["network", "seed", "best_test_accuracy"]]
        accuracy = accuracy[accuracy["seed"].isin(results.paired_seeds)]
        accuracy = accuracy.assign(accuracy=100 * accuracy["best_test_accuracy"])
        drawn["seeds"] = figures.plot_seeds(accuracy)
    if others:
        drawn["experiments"] = figures.plot_experiments(others[1], params.report.experiments_x)
    return drawn


def class_table(results: Results) -> pd.DataFrame:
    """Compare the networks class by class over the paired seeds."""
    baseline, resnet = (results.hits(name, results.paired_seeds) for name in NAMES)
    names = results.metadata["class_names"]
    return compare_classes(baseline, resnet, results.test.labels, names)


def write_figures(drawn: dict[str, Figure], folder: Path, dpi: int) -> None:
    """Save figures as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        # No software version in the file: the same figure is the same bytes.
        figure.savefig(folder / f"{name}.png", dpi=dpi, metadata={"Software": None})
        plt.close(figure)


def make_sections(
    everything: Results,
    results: Results,
    comparison: Comparison | None,
    params: Params,
    others: tuple[pd.DataFrame, pd.DataFrame] | None,
) -> dict[str, Any]:
    """Return what the template shows: tables in Markdown and sentences."""
    samples, top_k = params.report.bootstrap_samples, params.evaluate.top_k
    sections: dict[str, Any] = {
        "verdict": wording.verdict(comparison),
        "warnings": wording.warnings(results),
        "summary": markdown_table(tables.summary_table(results, top_k)),
        "seeds_note": wording.describe_seeds(results),
        "levels": markdown_table(tables.levels_table(results, params.report.accuracy_levels)),
        "watched": figures.SPLIT_NAMES[results.watched],
        "gap": markdown_table(tables.gap_table(results)),
        "calibration": tables.describe_calibration(tables.calibration_by_network(results)),
        "confused": {
            name: markdown_table(
                tables.confusions(results, name, params.report.confused_pairs), index=False
            )
            for name in results.names
        },
        "drop_block": markdown_table(tables.drop_block_table(results)),
        "duplicates_note": wording.describe_duplicates(results.metadata),
        "protocol": wording.protocol(results, params),
        "differences": wording.differences_from_the_tutorial(params),
    }
    if results.metadata["params"]["source"] == "cifar100":
        sections["published"] = markdown_table(tables.published_table(results))
    if comparison:
        sections["seeds"] = markdown_table(tables.seeds_table(results))
        sections["classes"] = wording.describe_classes(class_table(results))
        sections["duplicates"] = markdown_table(tables.duplicates_table(results, samples))
        if len(everything.variants) > 1 and not everything.missing:
            sections["ablation"] = markdown_table(tables.ablation_table(everything, samples))
    if others:
        sections["experiments"] = markdown_table(others[0])
        sections["experiments_alone"] = len(others[0]) == 1
        sections["experiments_x"] = params.report.experiments_x
    return sections


def markdown_table(table: pd.DataFrame, index: bool = True) -> str:
    """Write a table, columns with numbers to the right; nothing for an empty one."""
    if table.empty:
        return ""
    if index:
        table = table.reset_index()
    text = table.map(lambda v: f"{v:.1f}" if isinstance(v, float) else escape(str(v)))
    numbers = text.apply(lambda column: column.str.match(r"(&lt; )?[-+]?\d").any())
    alignment = ["right" if right else "left" for right in numbers]
    return text.to_markdown(index=False, disable_numparse=True, colalign=alignment)


def escape(text: str) -> str:
    """Keep names from ending a table's cell or becoming HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def render_markdown(headline: str, sections: dict[str, Any], drawn: set[str]) -> str:
    """Fill the Markdown template."""
    text = (TEMPLATES / "report.md.j2").read_text()
    template = jinja2.Template(text, trim_blocks=True, lstrip_blocks=True)
    return template.render(headline=headline, drawn=drawn, **sections)


def render_html(markdown: str, folder: Path) -> str:
    """Turn the Markdown into one HTML page with the figures inside."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)

    def embed(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="(figures/[^"]+)"', embed, body)
    body = re.sub(r"<table>.*?</table>", r'<div class="table">\g<0></div>', body, flags=re.DOTALL)
    template = (TEMPLATES / "report.html.j2").read_text()
    return jinja2.Template(template).render(title="Baseline or resnet?", body=body)
