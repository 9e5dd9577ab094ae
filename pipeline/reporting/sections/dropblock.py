"""What DropBlock drops, and what it contributes where the networks were trained without it too."""

import pandas as pd

from pipeline.evaluation.plots import plot_masks
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import accuracy_with_interval, difference_in_points
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part, Section

LABELS = {"dropblock": "with DropBlock", "nodrop": "without DropBlock"}
NOTE = (
    "At the keep probability of the last epoch, on masks that the trained networks' layers drew "
    "for 64 samples. *Expected* is less than 1 - keep where blocks overlap. Where the block is "
    "larger than the map, nothing is dropped (`drop_block_oversize: skip`, as in the tutorial) or "
    "the block is cut down to the map (`clamp`)."
)
FIGURE_NOTE = (
    "Four channels of one sample for each layer, on a synthetic feature map; dropped units are "
    "black."
)
ABLATION_TITLE = "### What DropBlock and the architecture contribute"
ABLATION_NOTE = (
    "Test accuracy with 95 % intervals. What a network is ahead of the {reference} without "
    "DropBlock is what the architecture contributes, depth and skip connections together; `dvc "
    "exp run -S model.skip_connections=false` takes the skip connections alone away."
)
NO_ABLATION = (
    "What DropBlock contributes: `dvc exp run -S 'train.variants=[dropblock,nodrop]'` trains {all} "
    "without it too."
)


def make(findings: Findings) -> Section:
    """Show what DropBlock does."""
    results = findings.results
    table = drop_block_table(results)
    parts: list[Part] = []
    if table.empty:
        parts.append(f"Switched off in {_all(results)}.")
    else:
        figure = plot_masks(shown_masks(results))
        drawing = Drawing("dropblock", figure, "What DropBlock zeroes on a synthetic feature map")
        parts += [table, NOTE, drawing, FIGURE_NOTE]
    return Section("DropBlock", parts + ablation(findings))


def ablation(findings: Findings) -> list[Part]:
    """Show what is won by DropBlock, or say how to find out."""
    everything, samples = findings.everything, findings.params.report.bootstrap_samples
    compared = len(findings.comparisons) == len(everything.networks) - 1
    if len(everything.variants) < 2 or everything.missing or not compared:
        return [NO_ABLATION.format(all=_all(everything))]
    table = ablation_table(everything, samples)
    if len(everything.networks) == 1:
        return [ABLATION_TITLE, table, "Test accuracy with 95 % intervals."]
    return [ABLATION_TITLE, table, ABLATION_NOTE.format(reference=everything.reference)]


def _all(results: Results) -> str:
    counts = {1: "the network", 2: "both networks"}
    return counts.get(len(results.networks), "all networks")


def shown_masks(results: Results) -> dict[str, tuple[list, dict]]:
    """Return the rows and masks of each network with DropBlock, of its first seed."""
    found = {}
    for name in results.names:
        rows = results.of_network(name)["drop_blocks"].iloc[0]
        if rows:
            found[name] = rows, next(m for (n, _, _), m in results.masks.items() if n == name)
    return found


def drop_block_table(results: Results) -> pd.DataFrame:
    """Return the blocks' size and the dropped share of each layer, of each network's first seed."""
    rows = [
        {
            "network": name,
            "layer": row["layer"],
            "map": row["map"],
            "block in effect": row["block_size"] or "none",
            "1 - keep, %": f"{100 * row['to_drop']:.1f}",
            "expected, %": f"{100 * row['expected']:.2f}",
            "measured, %": f"{100 * row['measured']:.2f}",
        }
        for name in results.names
        for row in results.of_network(name)["drop_blocks"].iloc[0]
    ]
    return pd.DataFrame(rows).set_index("network") if rows else pd.DataFrame()


def ablation_table(results: Results, samples: int) -> pd.DataFrame:
    """Return the test accuracy of each network with and without DropBlock, and the differences.

    Over the seeds that all networks have.
    """
    names, reference = results.networks, results.reference
    seeds = {v: results.of(v).paired_seeds(*names) for v in results.variants}
    hits = {(n, v): results.of(v).hits(n, seeds[v]) for n in names for v in results.variants}
    table = {
        LABELS[variant]: {
            **{name: accuracy_with_interval(hits[name, variant], samples) for name in names},
            **{
                f"{name} minus {reference}": difference_in_points(
                    hits[name, variant], hits[reference, variant], samples
                )
                for name in names[1:]
            },
        }
        for variant in results.variants
    }
    if seeds["dropblock"] == seeds["nodrop"]:
        table["what DropBlock adds"] = {
            name: difference_in_points(hits[name, "dropblock"], hits[name, "nodrop"], samples)
            for name in names
        }
    return pd.DataFrame(table).T.fillna("").rename_axis("")
