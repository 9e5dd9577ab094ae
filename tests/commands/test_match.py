import re

import pytest
from ruamel.yaml import YAML

from pipeline.commands.match import nearest
from tests.conftest import checked, quick_values, with_values
from tests.made_up_results import write_results

SIZE = 90, 10, 32  # training images, classes and pixels that write_results leaves
SMALL = {"recipe.epochs": 2, "baseline.width": 0.03, "baseline.epochs": 2, "model.width": 0.06}


def test_a_width_is_found_from_below_and_from_above():
    for start in (0.01, 0.25, 7.0):
        assert nearest(lambda width: 3 * width**2, 0.75, start) == pytest.approx(0.5, rel=0.005)


def test_whole_numbers_stay_whole():
    tried = []

    def cost(epochs):
        tried.append(epochs)
        return 7.0 * epochs

    assert nearest(cost, 100.0, 3) == 14
    assert nearest(cost, 2.0, 3) == 1
    assert all(isinstance(epochs, int) for epochs in tried)


def test_no_value_is_counted_twice():
    tried = []

    def cost(width):
        tried.append(width)
        return round(64 * width)  # in steps, as filters are

    assert cost(nearest(cost, 20, 0.1)) == 20
    assert len(tried[:-1]) == len(set(tried[:-1]))


@pytest.fixture
def project(workspace):
    """Prepared data, and the small networks on them."""
    write_results(workspace, seeds=[0])
    values = with_values(quick_values(), SMALL)
    YAML().dump(values, workspace / "params.yaml")
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("key", ["width", "epochs"])
def test_the_override_makes_the_compute_equal(project, invoke, key):
    from pipeline.sweep.estimate import estimate

    code, said = invoke("match", "baseline", "--to", "model", "--by", key)
    assert code == 0, said
    value = re.search(rf"  dvc exp run -S baseline\.{key}=(\S+)\n", said)[1]
    number = int(value) if key == "epochs" else float(value)
    params = checked(**{**SMALL, f"baseline.{key}": number})
    mine, goal = (estimate(n, params.recipe(n), *SIZE) for n in ("baseline", "model"))
    assert mine.pflop == pytest.approx(goal.pflop, rel=0.02)
    assert f"{mine.parameters:,}" in said


def test_an_inherited_key_gets_the_pluses_that_dvc_asks_for(project, invoke):
    said = invoke("match", "model", "--to", "model", "--by", "epochs")[1]
    assert "  dvc exp run -S ++model.epochs=2\n" in said


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("optimizer", "--by optimizer: baseline.optimizer must be a number above 0"),
        ("widht", "must be a number above 0 that the compute grows with, like width, epochs"),
        ("momentum", "no value of baseline.momentum makes the compute equal within 2 %"),
    ],
)
def test_a_key_that_cannot_be_matched_is_refused(project, refused, key, message):
    assert message in refused("match", "baseline", "--to", "model", "--by", key)


def test_other_data_than_the_prepared_are_refused(project, refused):
    values = with_values(quick_values(), {"data.sharpen": False})
    YAML().dump(values, project / "params.yaml")
    assert "run `dvc repro prepare`" in refused("match", "baseline", "--to", "model")
