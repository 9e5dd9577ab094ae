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


@keras.saving.register_keras_serializable("tests")
class TwoDropouts(keras.layers.Layer):
    """A layer with unnamed layers inside, which Keras numbers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inside = [keras.layers.Dropout(0.5) for _ in range(2)]

    def call(self, inputs, training=False):
        for layer in self.inside:
            inputs = layer(inputs, training=training)
        return inputs


def test_layers_inside_a_layer_have_the_same_seeds_when_loaded_elsewhere(tiny_params, tmp_path):
    keras.backend.clear_session()  # now they are numbered from 0
    inputs = x = keras.Input((8,))
    for _ in range(6):
        x = TwoDropouts()(x)
    keras.Model(inputs, x).save(tmp_path / "network.keras")
    states = []
    for _ in range(2):  # the second one is numbered from where the first ended
        model = keras.saving.load_model(tmp_path / "network.keras")
        setter = DropoutSetter(tiny_params.recipe("model"), 0)
        setter.set_model(model)
        setter.on_epoch_begin(0)
        parts = [part for block in model.layers[1:] for part in block.inside]
        states.append([tuple(part.seed_generator.state.numpy().tolist()) for part in parts])
    assert len(set(states[0])) == 12
    assert states[0] == states[1]


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
