import numpy as np

from pipeline.commands.predict import top_classes


def test_the_most_probable_classes_come_first():
    probabilities = np.array([0.1, 0.6, 0.3])
    assert top_classes(probabilities, ["a", "b", "c"], 2) == [("b", 0.6), ("c", 0.3)]
    assert len(top_classes(probabilities, ["a", "b", "c"], 9)) == 3
