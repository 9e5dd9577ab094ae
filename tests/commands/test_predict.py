import json

import numpy as np

from pipeline.commands.predict import load_classifier, top_classes
from pipeline.tracking.registry import Registry
from pipeline.tracking.runs import TRAINING
from tests.made_up_results import DIGEST, write_results
from tests.small_model import log_small_model


def test_the_most_probable_classes_come_first():
    probabilities = np.array([0.1, 0.6, 0.3])
    assert top_classes(probabilities, ["a", "b", "c"], 2) == [("b", 0.6), ("c", 0.3)]
    assert len(top_classes(probabilities, ["a", "b", "c"], 9)) == 3


def test_a_network_of_the_registry_comes_with_the_class_names_of_its_version(workspace, store):
    write_results(workspace, seeds=[0])
    names = [f"name {i}" for i in range(2)]
    tags = {TRAINING: "identity-0", "class_names": json.dumps(names)}
    Registry("digits", DIGEST).register(log_small_model(), "champion", tags, "")
    model, found = load_classifier("champion")
    assert found == names
    assert model.predict(np.zeros((1, 4), np.uint8), verbose=0).shape == (1, 2)
