"""What the committed reports say follows from the data committed beside them."""

import json

import pandas as pd
import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def coverage():
    (run, *_) = json.loads((REPOSITORY / "reports/benchmarks/coverage.json").read_text())
    assert run["facts"]["repetitions"] >= 10_000
    return pd.DataFrame(run["rows"])


def shares(coverage, about, what):
    return coverage.query("about == @about and what == @what")["share"]


def test_the_intervals_hold_what_the_report_promises_of_them(coverage):
    these = shares(coverage, "these images", "coverage, t over seeds")
    assert len(these) == 8
    assert these.between(0.93, 0.97).all()
    assert (shares(coverage, "new images", "coverage, seeds and images") >= 0.945).all()


def test_without_a_difference_a_p_below_5_percent_is_as_rare_as_promised(coverage):
    assert (shares(coverage, "these images", "p below 0.05 under the null") <= 0.05).all()


def test_about_new_images_the_seeds_alone_promise_too_much_as_the_report_warns(coverage):
    images = coverage[coverage["dominated by"] == "images"]
    assert shares(images, "new images", "coverage, t over seeds alone").max() < 0.93
    assert shares(images, "new images", "p below 0.05 under the null").max() > 0.3
