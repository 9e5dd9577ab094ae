"""Calibration: does the networks' confidence match their accuracy?"""

import numpy as np
import pandas as pd

from pipeline.evaluation.plots import plot_calibration
from pipeline.evaluation.scores import calibration_table
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import between
from pipeline.reporting.intervals import crossed_interval, interval
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Section

ABOUT = "Whether confidence matches accuracy: of the answers given at 90 %, are 90 % right?"

NOTE = (
    "In brackets: the 95 % interval for other seeds and other test images. The figure pools the "
    "answers of all seeds."
)
ONE_SEED = "In brackets: the 95 % interval for these fitted models on other test images."


def make(findings: Findings) -> Section:
    """Show confidence against accuracy."""
    results = findings.results
    tables = calibration_by_network(results)
    alt = "Accuracy against confidence, and the distribution of confidence"
    drawing = Drawing("calibration", plot_calibration(tables, results.scored), alt)
    return Section("Calibration", ABOUT, [describe_calibration(results), drawing])


def calibration_by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Return the calibration table of each network, all seeds together."""
    return {
        name: calibration_table(
            np.concatenate(list(results.predictions_of(name).values())),
            np.tile(results.images.labels, len(results.predictions_of(name))),
        )
        for name in results.networks
    }


def describe_calibration(results: Results) -> str:
    """Say for each network whether it is over- or underconfident, and by how many points."""
    said = [describe_network(results, name) for name in results.networks]
    return f"{'. '.join(said)}. {NOTE if len(results.seeds) > 1 else ONE_SEED}"


def describe_network(results: Results, name: str) -> str:
    """Say how far a network's confidence is from its accuracy, and whether that may be chance."""
    excess = overconfidence(results, name)
    found = crossed_interval(excess) if len(excess) > 1 else interval(excess)
    if not found.excludes_zero:
        tendency = "neither over- nor underconfident beyond chance"
    else:
        tendency = "overconfident" if found.mean > 0 else "underconfident"
    true = results.hits(name).mean()
    mean = results.means.loc[name, "best_test_calibration_error"]
    return (
        f"{name}: mean confidence {100 * (true + found.mean):.1f} %, accuracy {100 * true:.1f} %, "
        f"difference {100 * found.mean:+.1f} points ({between(found)}): {tendency}; expected "
        f"calibration error {100 * mean:.1f} points"
    )


def overconfidence(results: Results, name: str) -> np.ndarray:
    """Return confidence minus correctness, (seeds, images), from -1 to 1."""
    labels = results.images.labels
    return np.array(
        [
            np.exp(values.max(axis=1)) - (values.argmax(axis=1) == labels)
            for values in results.predictions_of(name).values()
        ]
    )
