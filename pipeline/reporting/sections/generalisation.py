"""The generalisation gap: accuracy on training images minus that on other images."""

import pandas as pd

from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import mean_and_spread
from pipeline.reporting.results import Results
from pipeline.reporting.section import Section

ABOUT = "How much better the networks are on their training images than on other images."


def make(findings: Findings) -> Section:
    """Show the generalisation gap."""
    return Section("Generalisation", ABOUT, [gap_table(findings.results)])


def gap_table(results: Results) -> pd.DataFrame:
    """Return the gap of the kept weights: training minus test images, without dropout."""
    cells = {}
    for name in results.networks:
        rows = results.of_network(name)
        accuracy = 100 * (rows["best_train_accuracy"] - rows["best_test_accuracy"])
        loss = rows["best_test_loss"] - rows["best_train_loss"]
        cells[name] = {
            "accuracy, training minus test, points": mean_and_spread(accuracy, "{:.1f}".format),
            "loss, test minus training, nats": mean_and_spread(loss, "{:.3f}".format),
        }
    return pd.DataFrame(cells).rename_axis("")
