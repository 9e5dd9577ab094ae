import pandas as pd

from pipeline.reporting.comparison import Interval
from pipeline.reporting.formats import between, cost, listed, mean_and_spread
from pipeline.reporting.results import load_results
from tests.made_up_results import write_results


def test_spread_is_shown_over_several_seeds_only():
    assert mean_and_spread(pd.Series([1.0]), "{:.1f}") == "1.0"
    assert mean_and_spread(pd.Series([1.0, 3.0]), "{:.1f}") == "2.0 ± 1.4"


def test_names_are_listed_with_a_joint():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_a_network_is_said_to_cost_so_many_times_the_reference(workspace, params):
    write_results(workspace, seeds=[0])
    said = cost(load_results(params), "resnet")
    assert "1.0 times the parameters" in said
    assert "takes 1.5 s an epoch instead of 1.5 s (60 against 60 images/s)" in said


def test_an_interval_is_turned_with_the_sign_of_what_it_is_of():
    assert between(Interval(-0.042, -0.067, -0.017)) == "-6.7 to -1.7"
    assert between(Interval(-0.042, -0.067, -0.017), ".1f", -1) == "1.7 to 6.7"
