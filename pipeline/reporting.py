"""The comparison as tables, figures, Markdown and HTML: what stage `report` does."""

import base64
import json
import re
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import pandas as pd
from markdown_it import MarkdownIt

from pipeline import figures
from pipeline.params import Params, ReportParams
from pipeline.paths import REPORTS
from pipeline.results import (
    NAMES,
    Results,
    class_accuracy,
    coarse_predictions,
    confusions,
    load_results,
)

BASELINE, RESNET = NAMES
SPLITS = ("train", "val", "test")
# Published by the tutorial, of the last epoch: train and test accuracy (%) and loss (nats).
PUBLISHED = {
    "part 5: CNN + augmentation": (97.5, 0.1332, 65.3, 1.3090),
    "part 7: residual network": (99.5, 0.0300, 70.7, 1.2815),
}


def write_report(params: Params) -> str:
    """Write all of reports/ and return the headline.

    Raises:
        UserError: results are missing, or belong to different data.
    """
    results = load_results(params)
    write_metrics(results, REPORTS / "metrics.json")
    write_plot_data(results, REPORTS / "plots")
    write_figures(results, REPORTS / "figures", params.report)
    headline = make_headline(results)
    markdown = render_markdown(results, params, headline)
    (REPORTS / "report.md").write_text(markdown)
    (REPORTS / "report.html").write_text(render_html(markdown, REPORTS))
    return headline


def write_metrics(results: Results, file: Path) -> None:
    """Write the handful of numbers that `dvc metrics show` and `dvc exp show` list."""
    kept = [f"best_{name}" for name in ("test_accuracy", "test_loss", "val_accuracy")]
    means = results.metrics.groupby("network")[[c for c in kept if c in results.metrics]].mean()
    means.columns = means.columns.str.removeprefix("best_")
    metrics = {name: means.loc[name].round(6).to_dict() for name in NAMES}
    difference = means.loc[RESNET, "test_accuracy"] - means.loc[BASELINE, "test_accuracy"]
    metrics["difference"] = {"test_accuracy": round(float(difference), 6)}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(metrics, indent=1) + "\n")


def write_plot_data(results: Results, folder: Path) -> None:
    """Write the tables behind `dvc plots show`: learning curves and superclass confusion."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        history = results.history[results.history["network"] == name]
        curves = history.groupby("epoch")[["watched_accuracy", "watched_loss"]].mean()
        curves.columns = curves.columns.str.removeprefix("watched_")
        curves.to_csv(folder / f"{name}.csv")
        coarse_predictions(results, name).to_csv(folder / f"confusion_{name}.csv", index=False)


def write_figures(results: Results, folder: Path, params: ReportParams) -> None:
    """Draw and save all figures."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {name: coarse_predictions(results, name) for name in NAMES}
    drawn = {
        "learning_curves": figures.plot_history(results.history, results.watched),
        "confusion": figures.plot_confusion(pairs, results.metadata["superclass_names"]),
        "class_difference": figures.plot_class_difference(class_accuracy(results)),
    }
    for name, figure in drawn.items():
        # No software version in the file: the same figure is the same bytes.
        figure.savefig(folder / f"{name}.png", dpi=params.figure_dpi, metadata={"Software": None})
        plt.close(figure)


def make_headline(results: Results) -> str:
    """Say in one sentence which network is ahead on the test set, and how little that proves."""
    accuracy = results.metrics.pivot(index="seed", columns="network", values="best_test_accuracy")
    means = 100 * accuracy.mean()
    difference = 100 * (accuracy[RESNET] - accuracy[BASELINE])
    seeds = len(difference)
    ahead = RESNET if difference.mean() > 0 else BASELINE
    if difference.mean() == 0:
        verdict = "no difference"
    else:
        verdict = f"the {ahead} is ahead by {abs(difference.mean()):.1f} points"
    count = "1 seed" if seeds == 1 else f"{seeds} paired seeds"
    spread = "" if seeds == 1 else f" (from {difference.min():+.1f} to {difference.max():+.1f})"
    source = results.metadata["params"]["source"]
    caution = "; too few seeds to say more than that" if seeds < 6 else ""
    return (
        f"{source}: resnet {means[RESNET]:.1f} %, baseline {means[BASELINE]:.1f} % test accuracy; "
        f"{verdict}{spread} over {count}{caution}."
    )


def describe_protocol(results: Results) -> str:
    """Say which images did what, and who chose the epoch."""
    images = results.metadata["images"]
    sizes = f"{images['train']:,} training, {images['val']:,} validation, {images['test']:,} test"
    if results.watched == "test":
        choice = (
            "**The tutorial's own protocol: there is no validation split. The test set decided "
            "when to stop, and the last epoch's weights are scored, so the test figures are "
            "flattered.**"
        )
    else:
        choice = (
            "The validation images chose the epoch and stopped the training; the test images were "
            "read once, at the end."
        )
    data = f"Data: {results.metadata['params']['source']}, digest {results.metadata['digest'][:12]}"
    return f"{data}; {sizes} images of {len(results.metadata['class_names'])} classes. {choice}"


def summary_table(results: Results) -> pd.DataFrame:
    """Return the headline table, a column for each network."""
    rows = {
        "parameters": ("parameters", "{:,.0f}", 1),
        "MFLOP per image": ("flops", "{:,.1f}", 1e-6),
        "epochs run": ("epochs", "{:.0f}", 1),
        "best epoch": ("best_epoch", "{:.0f}", 1),
    }
    for split in SPLITS:
        rows[f"{split} accuracy, %"] = (f"best_{split}_accuracy", "{:.1f}", 100)
        rows[f"{split} loss"] = (f"best_{split}_loss", "{:.3f}", 1)
    rows["test accuracy of the last weights, %"] = ("last_test_accuracy", "{:.1f}", 100)
    rows["test loss of the last weights"] = ("last_test_loss", "{:.3f}", 1)
    rows["seconds per epoch"] = ("seconds_per_epoch", "{:.1f}", 1)
    rows["training images per second"] = ("images_per_second", "{:,.0f}", 1)
    cells = {
        label: {
            name: _mean_and_spread(results.metrics.query("network == @name")[key] * scale, form)
            for name in NAMES
        }
        for label, (key, form, scale) in rows.items()
        if key in results.metrics
    }
    return pd.DataFrame(cells).T.rename_axis("")


def _mean_and_spread(values: pd.Series, form: str) -> str:
    mean = form.format(values.mean())
    return mean if values.nunique() == 1 else f"{mean} ± {form.format(values.std())}"


def published_table(results: Results) -> pd.DataFrame:
    """Return the tutorial's published figures beside this run's."""
    columns = ["train accuracy, %", "train loss", "test accuracy, %", "test loss"]
    table = pd.DataFrame(PUBLISHED, index=columns).T
    keys = [f"best_{split}_{what}" for split in ("train", "test") for what in ("accuracy", "loss")]
    for name, part in zip(NAMES, (6, 7), strict=True):
        mean = results.metrics.query("network == @name")[keys].mean()
        table.loc[f"this run: {name} (part {part})"] = mean.to_numpy() * [100, 1, 100, 1]
    forms = {c: "{:.1f}".format if "%" in c else "{:.3f}".format for c in columns}
    return pd.DataFrame({c: table[c].map(f) for c, f in forms.items()}).rename_axis("")


def render_markdown(results: Results, params: Params, headline: str) -> str:
    """Fill the Markdown template."""
    confused = {
        name: confusions(results, name, params.report.confused_pairs)
        .rename(columns={"percent": "% of the actual class"})
        .to_markdown(index=False, floatfmt=".1f")
        for name in NAMES
    }
    is_cifar = results.metadata["params"]["source"] == "cifar100"
    template = jinja2.Template(
        (Path(__file__).parent / "templates" / "report.md.j2").read_text(), trim_blocks=True
    )
    return template.render(
        headline=headline,
        protocol=describe_protocol(results),
        summary=_markdown(summary_table(results)),
        published=_markdown(published_table(results)) if is_cifar else "",
        widths=f"{params.baseline.width} (baseline), {params.model.width} (resnet)",
        seeds=results.seeds,
        confused=confused,
    )


def _markdown(table: pd.DataFrame) -> str:
    alignment = ["left"] + ["right"] * len(table.columns)
    return table.to_markdown(disable_numparse=True, colalign=alignment)


def render_html(markdown: str, folder: Path) -> str:
    """Turn the Markdown into one HTML page with the figures inside."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)

    def embed(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="(figures/[^"]+)"', embed, body)
    template = (Path(__file__).parent / "templates" / "report.html.j2").read_text()
    return jinja2.Template(template).render(title="Baseline or resnet?", body=body)
