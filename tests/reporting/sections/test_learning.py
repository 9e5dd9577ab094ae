import numpy as np
import pandas as pd

from pipeline.reporting.sections.learning import levels_table
from tests.reporting.conftest import predicting, results_of


def history_of(name, seed, accuracies, seconds=10.0):
    count = len(accuracies)
    return pd.DataFrame(
        {
            "network": name, "seed": seed, "epoch": range(1, count + 1),
            "watched_accuracy": accuracies, "elapsed": seconds * np.arange(1, count + 1),
            "seconds": seconds,
        }
    )  # fmt: skip


def test_levels_tell_when_each_was_first_reached():
    history = pd.concat(
        [
            history_of("baseline", 0, [0.1, 0.35, 0.2, 0.45]),
            history_of("baseline", 1, [0.1, 0.2, 0.3, 0.3]),
            history_of("resnet", 0, [0.3, 0.6], seconds=50),
            history_of("resnet", 1, [0.3, 0.5], seconds=70),
        ]
    )
    keys = [(n, "dropblock", s) for n in ("baseline", "resnet") for s in (0, 1)]
    results = results_of(dict.fromkeys(keys, predicting([0])), [0], history)
    table = levels_table(results, [0.3, 0.4, 0.55, 0.9])
    assert table.index.tolist() == ["30 %", "40 %", "55 %"]
    assert table.loc["30 %"].tolist() == ["2.5 (2 to 3)", "25 (20 to 30)", "1", "60 (50 to 70)"]
    assert table.loc["40 %"].tolist() == [
        "4 (1 of 2 seeds)",
        "40 (1 of 2 seeds)",
        "2",
        "120 (100 to 140)",
    ]
    assert table.loc["55 %"].tolist()[:2] == ["never", "never"]
    assert levels_table(results, [0.99]).empty
