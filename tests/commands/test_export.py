import numpy as np
import pytest
import tensorflow as tf

from pipeline.commands import export as command
from pipeline.core.errors import UserError
from pipeline.evaluation.export import export_model
from pipeline.networks.shared.models import build_model

NAMES = ["a", "b", "c"]


@pytest.fixture
def model(monkeypatch, tiny_params):
    """A network that is found under any name."""
    tf.keras.utils.set_random_seed(0)
    network = build_model("baseline", tiny_params.recipe("baseline"), len(NAMES), 32)
    found = export_model(network, sharpen=True)
    monkeypatch.setattr(command, "load_classifier", lambda _: (found, NAMES))
    return found


@pytest.mark.slow
def test_tensorflow_lite_gives_the_answers_of_keras(model, tmp_path):
    said = command.export(tmp_path / "a.tflite", "champion")
    assert "Input: (n, 32, 32, 3) uint8 pixels" in said
    assert (tmp_path / "a.txt").read_text().split() == NAMES
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    interpreter = tf.lite.Interpreter(str(tmp_path / "a.tflite"))
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert takes["dtype"] == np.uint8
    interpreter.resize_tensor_input(takes["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(takes["index"], images)
    interpreter.invoke()
    probabilities = interpreter.get_tensor(gives["index"])
    np.testing.assert_allclose(probabilities, model.predict(images, verbose=0), atol=1e-5)
    assert np.ptp(probabilities, axis=0).max() > 1e-3  # the images differ


def test_another_ending_is_refused(model, tmp_path):
    with pytest.raises(UserError, match=r"a.onnx does not end with .tflite"):
        command.export(tmp_path / "a.onnx", "champion")
