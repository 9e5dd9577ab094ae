import numpy as np

from pipeline.reporting.sections.duplicates import duplicates_table


def test_the_score_without_duplicates_keeps_the_first_of_each_group(loaded):
    one = loaded.of("dropblock")
    table = duplicates_table(one, ["resnet"])
    assert table.index.tolist() == [
        "all 60 test images", "without duplicates, 58", "only the duplicates, 2",
    ]  # fmt: skip
    kept = np.ones(60, bool)
    kept[[0, 8]] = False
    hits = one.hits("baseline")[:, kept].mean()
    assert table.loc["without duplicates, 58", "baseline"] == f"{100 * hits:.2f} %"
