import pytest

from pipeline.networks.shared.models import build_model, count_flops
from pipeline.reporting.matching import matching_width, plain_flops


@pytest.mark.parametrize("width", [0.125, 0.3])
def test_a_plain_networks_flops_are_those_of_the_built_network(params, width):
    recipe = params.baseline.model_copy(update={"width": width})
    built = count_flops(build_model("baseline", recipe, 10))
    assert plain_flops(recipe, width, 10) == built


def test_the_baseline_as_expensive_as_the_resnet_is_found(params):
    own = plain_flops(params.baseline, params.baseline.width, 100)
    flops = count_flops(build_model("model", params.model, 100))
    width = matching_width(params.baseline, own, flops, 100)
    assert plain_flops(params.baseline, width, 100) == pytest.approx(flops, rel=0.02)
    assert width > 2 * params.baseline.width


def test_a_network_that_is_no_plain_one_has_no_such_width(params):
    flops = count_flops(build_model("model", params.model, 10))
    assert matching_width(params.model, flops, 2 * flops, 10) is None
    own = plain_flops(params.baseline, params.baseline.width, 10)
    assert matching_width(params.baseline, own, 1e15, 10) is None
