"""Whether the networks know what they know: confidence against accuracy."""

import numpy as np
import pandas as pd

from pipeline.evaluation.plots import plot_calibration
from pipeline.evaluation.scores import calibration_error, calibration_table
from pipeline.reporting.findings import Findings
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Section


def make(findings: Findings) -> Section:
    """Show confidence against accuracy."""
    tables = calibration_by_network(findings.results)
    alt = "Accuracy against confidence, and the distribution of confidence"
    drawing = Drawing("calibration", plot_calibration(tables), alt)
    return Section("Calibration", [describe_calibration(tables), drawing])


def calibration_by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Return the calibration table of each network, all seeds together."""
    return {
        name: calibration_table(
            np.concatenate(list(results.predictions_of(name).values())),
            np.tile(results.test.labels, len(results.predictions_of(name))),
        )
        for name in results.names
    }


def describe_calibration(tables: dict[str, pd.DataFrame]) -> str:
    """Say for each network whether it claims too much or too little, in points."""
    sentences = []
    for name, table in tables.items():
        claimed, true = (np.average(table[c], weights=table["count"]) for c in table.columns[:2])
        tendency = "over" if claimed > true else "under"
        sentences.append(
            f"{name}: mean confidence {100 * claimed:.1f} %, accuracy {100 * true:.1f} % "
            f"({tendency}confident), expected calibration error "
            f"{100 * calibration_error(table):.1f} points"
        )
    return "; ".join(sentences) + "."
