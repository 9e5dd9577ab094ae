import numpy as np

from pipeline.data.duplicates import COARSE_CORRELATION
from pipeline.reporting.sections.duplicates import describe_duplicates, duplicates_table


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


def test_the_rule_is_the_one_that_finds_duplicates():
    metadata = {
        "duplicates": {"within_training": 0, "test_of_training": 0, "within_test": 0},
        "params": {"duplicate_correlation": 0.7, "source": "digits"},
    }
    said = describe_duplicates(metadata)
    assert "correlate by 0.7 or more" in said
    assert f"(4x4 mean colours) by {COARSE_CORRELATION} or more" in said
