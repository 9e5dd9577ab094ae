import pandas as pd

from pipeline.reporting.formats import listed, mean_and_spread


def test_spread_is_shown_over_several_seeds_only():
    assert mean_and_spread(pd.Series([1.0]), "{:.1f}") == "1.0"
    assert mean_and_spread(pd.Series([1.0, 3.0]), "{:.1f}") == "2.0 ± 1.4"


def test_names_are_listed_with_a_joint():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
