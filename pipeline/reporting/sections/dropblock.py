"""What DropBlock drops."""

import pandas as pd

from pipeline.evaluation.plots import plot_masks
from pipeline.reporting.findings import Findings
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Section

ABOUT = "What share of the feature maps DropBlock actually drops."

NOTE = (
    "Shares dropped at the keep probability of the last epoch. *Measured*: in masks that the "
    "trained networks' layers drew for 64 samples; *expected* is less than 1 - keep where blocks "
    "overlap. If the block is larger than the map, nothing is dropped (`drop_block_oversize: "
    "skip`, as in the tutorial) or the block is shrunk to the map's size (`clamp`)."
)
FIGURE_NOTE = (
    "Four channels of one sample for each layer, on a synthetic feature map; dropped units are "
    "black."
)


def make(findings: Findings) -> Section | None:
    """Show how much DropBlock drops, and where; nothing if it is off in all networks."""
    results = findings.results
    table = drop_block_table(results)
    if table.empty:
        return None
    figure = plot_masks(shown_masks(results))
    drawing = Drawing("dropblock", figure, "What DropBlock zeroes on a synthetic feature map")
    return Section("DropBlock", ABOUT, [table, NOTE, drawing, FIGURE_NOTE])


def shown_masks(results: Results) -> dict[str, tuple[list, dict]]:
    """Return the rows and masks of each network with DropBlock, for its first seed."""
    found = {}
    for name in results.networks:
        rows = results.of_network(name)["drop_blocks"].iloc[0]
        if rows:
            found[name] = rows, next(m for (n, _, _), m in results.masks.items() if n == name)
    return found


def drop_block_table(results: Results) -> pd.DataFrame:
    """Return block size and dropped share of each layer, for each network's first seed."""
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
        for name in results.networks
        for row in results.of_network(name)["drop_blocks"].iloc[0]
    ]
    return pd.DataFrame(rows).set_index("network") if rows else pd.DataFrame()
