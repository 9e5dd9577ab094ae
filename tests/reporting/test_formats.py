import pandas as pd

from pipeline.reporting.formats import between, by_size, counted_seeds, listed, mean_and_spread
from pipeline.reporting.intervals import Interval


def test_spread_is_shown_over_several_seeds_only():
    assert mean_and_spread(pd.Series([1.0]), "{:.1f}".format) == "1.0"
    assert mean_and_spread(pd.Series([1.0, 3.0]), "{:.1f}".format) == "2.0 ± 1.4"


def test_names_are_listed_with_a_joint():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_seeds_are_counted_and_named():
    assert counted_seeds([0]) == "1 (seed 0)"
    assert counted_seeds([2, 0, 1]) == "3 (0 to 2)"
    assert counted_seeds([5, 0]) == "2 (0, 5)"


def test_values_are_sorted_by_their_size_and_words_come_last():
    assert sorted(["relu", "10", "-", "2", "off", "0.5"], key=by_size) == [
        "off", "0.5", "2", "10", "-", "relu",
    ]  # fmt: skip


def test_an_interval_of_an_accuracy_ends_at_0_and_1():
    assert between(Interval(0.99, 0.97, 1.01).of_accuracy(), ".1f") == "97.0 to 100.0"
    assert between(Interval(0.01, -0.01, 0.03).of_accuracy(), ".1f") == "0.0 to 3.0"


def test_an_interval_is_turned_with_the_sign_of_what_it_is_of():
    assert between(Interval(-0.042, -0.067, -0.017)) == "-6.7 to -1.7"
    assert between(Interval(-0.042, -0.067, -0.017), ".1f", -1) == "1.7 to 6.7"
