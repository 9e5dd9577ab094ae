import numpy as np
import pytest

from pipeline.networks.shared.models import build_model
from tests.conftest import checked


@pytest.fixture
def params():
    """Those of the quick preset, which has no section sprint, with one."""
    return checked(**{"sprint.width": 0.125})


@pytest.fixture
def build(params):
    """Build a network by its name, with other params."""

    def make(network, classes=100, image_size=32, **changes):
        section = params.recipe(network).model_copy(update=changes)
        return build_model(network, section, classes, image_size)

    return make


def layer_parameters(model):
    """The trainable weights of each layer that has any, in order."""
    counts = [sum(np.prod(w.shape) for w in x.trainable_weights) for x in model.layers]
    return [int(count) for count in counts if count]


def expected_head(features, units, classes):
    """The weights of two hidden layers and of the logits, each with a batch norm."""
    return [features * units, 2 * units, units * units, 2 * units, units * classes, 2 * classes]
