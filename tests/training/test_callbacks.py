import keras
import numpy as np
import pytest

from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.training.callbacks import DropoutSetter, ProgressBar


def test_each_random_layer_has_masks_of_its_own_in_each_epoch_and_seed(tiny_params):
    inputs = keras.Input((8, 8, 3))
    inside = keras.Sequential([keras.layers.Dropout(0.5), DropBlock2D(1.0, 3, "skip")])
    noise = keras.layers.GaussianNoise(0.1)
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(noise(inside(inputs))))
    recipe = tiny_params.recipe("model")

    def states(seed, epoch):
        setter = DropoutSetter(recipe, seed)
        setter.set_model(model)
        setter.on_epoch_begin(epoch)
        found = [v for v in model.variables if v.name.endswith("seed_generator_state")]
        return [tuple(value.numpy().tolist()) for value in found]

    drawn = {(seed, epoch): states(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len({state for of_layers in drawn.values() for state in of_layers}) == 6 * 4
    model.predict(np.zeros((1, 8, 8, 3)), verbose=0)
    assert states(1, 2) == drawn[1, 2]
    assert states(0, 0) == drawn[0, 0]
    assert float(inside.layers[1].keep_prob) == pytest.approx(recipe.keep_prob(0))


def test_the_progress_bar_shows_each_score_once(capsys):
    bar = ProgressBar()
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 1})
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, {"loss": 3.5, "cross_entropy": 2.5, "accuracy": 0.5})
    bar.on_epoch_end(0, {"val_loss": 3.25, "val_cross_entropy": 2.25})
    said = capsys.readouterr().out
    shown = ("cross_entropy: 2.5", "accuracy: 0.5", "val_cross_entropy: 2.25")
    assert all(score in said for score in shown)
    assert "3.5" not in said and "3.25" not in said
