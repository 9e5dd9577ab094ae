import keras
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import training_pflop
from pipeline.training import loop, schedules
from pipeline.training.batches import make_train_dataset
from pipeline.training.machine import configure_backend
from pipeline.training.optimizers import new_model


def train(prepared, params, epochs, saved=None, network="model", rows=()):
    """Train up to `epochs`, from a saved (model file, rows) on where given; return both."""
    recipe = params.network(network).model_copy(update={"epochs": epochs})
    configure_backend(params.train, seed=3)
    if saved:
        model, rows = keras.saving.load_model(saved[0]), list(saved[1])
    else:
        model, rows = new_model(network, recipe, params.train, 10), list(rows)
    loop.fit(
        model, prepared, recipe, params.augment, 3, True, 100, rows, lambda *_: None, verbose=0
    )
    return model, rows


def without_times(rows):
    timed = ("seconds", "images_per_second", "peak_memory_mb")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]


def test_a_resumed_training_ends_with_the_same_weights(prepared, tiny_params, tmp_path):
    whole, whole_rows = train(prepared, tiny_params, 3)
    first, rows = train(prepared, tiny_params, 1)
    first.save(tmp_path / "first.keras")
    resumed, resumed_rows = train(prepared, tiny_params, 3, (tmp_path / "first.keras", rows))
    assert without_times(resumed_rows) == without_times(whole_rows)
    for expected, weights in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_the_history_holds_what_each_epoch_used(prepared, tiny_params):
    model, rows = train(prepared, tiny_params, 2)
    recipe = tiny_params.model
    assert [row["epoch"] for row in rows] == [1, 2]
    for epoch, row in enumerate(rows):
        assert row["learning_rate"] == schedules.learning_rate(recipe, epoch)
        assert row["keep_prob"] == schedules.keep_prob(recipe, epoch)
        seen = (epoch + 1) * (len(prepared["train"]) // recipe.batch_size) * recipe.batch_size
        assert row["pflop"] == pytest.approx(training_pflop(model, seen))
        assert row["images_per_second"] > 0
        assert 0 <= row["val_accuracy"] <= 1
        assert row["seconds"] > 0


def test_the_optimizer_and_the_layers_get_the_schedules_values(prepared, tiny_params):
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            drop = next(x for x in self.model.layers if isinstance(x, DropBlock2D))
            seen.append((float(self.model.optimizer.learning_rate), float(drop.keep_prob)))

    recipe = tiny_params.model.model_copy(update={"epochs": 2})
    model = new_model("model", recipe, tiny_params.train, 10)
    data = make_train_dataset(prepared["train"], 60, tiny_params.augment, 0)
    model.fit(data, steps_per_epoch=1, epochs=2, verbose=0, shuffle=False,
              callbacks=[loop.EpochSettings(recipe, 0), Spy()])  # fmt: skip
    assert seen == [pytest.approx((0.002, 1.0)), pytest.approx((0.00196, 0.98))]


def seeds_of_dropout(model, recipe, seed, epoch):
    """The states of all random layers as they are set before an epoch."""
    settings = loop.EpochSettings(recipe, seed)
    settings.set_model(model)
    settings.on_epoch_begin(epoch)
    layers = [x for x in model.layers if isinstance(x, DropBlock2D | keras.layers.Dropout)]
    return [tuple(np.asarray(layer.seed_generator.state)) for layer in layers]


def test_each_layer_epoch_and_seed_has_masks_of_its_own_and_always_the_same(tiny_params):
    model = new_model("model", tiny_params.model, tiny_params.train, 10)
    drawn = {
        (seed, epoch): seeds_of_dropout(model, tiny_params.model, seed, epoch)
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    states = [state for of_layers in drawn.values() for state in of_layers]
    assert len(states) == 6 * 2
    assert len(set(states)) == len(states)
    assert seeds_of_dropout(model, tiny_params.model, 1, 2) == drawn[1, 2]


def rows_so_far(*losses):
    return [{"epoch": i, "val_loss": x, "val_accuracy": 0.1} for i, x in enumerate(losses, 1)]


def test_a_resumed_training_goes_on_in_the_schedules(prepared, tiny_params):
    """Two epochs done: the third has 0.002 x 0.98^2 and 1 - 2 x 0.02."""
    _, rows = train(prepared, tiny_params, 3, rows=rows_so_far(2.3, 2.2))
    third = rows[2]
    assert third["epoch"] == 3
    assert third["learning_rate"] == pytest.approx(0.0019208)
    assert third["keep_prob"] == pytest.approx(0.96)


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ((0.1, 0.2, 0.3), 4),  # the fourth, about 2.3, is the third rise in a row
        ((0.2, 0.1, 0.3), 5),  # only the second there
        ((0.3, 0.2, 0.1), 5),
    ],
)
def test_rises_before_an_interruption_count(prepared, tiny_params, losses, epochs):
    tiny = tiny_params.model.model_copy(update={"stop_after_rising": 3})
    params = tiny_params.model_copy(update={"model": tiny})
    _, rows = train(prepared, params, 5, rows=rows_so_far(*losses))
    assert len(rows) == epochs


def test_training_stops_after_rising_losses(prepared, tiny_params, monkeypatch):
    monkeypatch.setattr(schedules, "should_stop", lambda losses, rising: len(losses) == 2)
    _, rows = train(prepared, tiny_params, 5)
    assert len(rows) == 2


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_loss_that_is_not_finite_stops_at_once_and_names_the_step(prepared, tiny_params):
    recipe = tiny_params.model
    model = new_model("model", recipe, tiny_params.train, 10)
    dense = model.get_layer("logits_dense")
    dense.kernel.assign(np.full(dense.kernel.shape, np.nan))
    with pytest.raises(loop.DivergedError, match="nan in epoch 1, step 1; try a lower"):
        loop.fit(model, prepared, recipe, tiny_params.augment, 0, True, 100, [], lambda *_: None, 0)


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([(0.5, 1.0)], True),
        ([(0.5, 1.0), (0.6, 2.0)], True),
        ([(0.5, 1.0), (0.5, 0.9)], True),
        ([(0.5, 1.0), (0.5, 1.0)], False),
        ([(0.5, 1.0), (0.4, 0.1)], False),
    ],
)
def test_the_best_epoch_has_the_highest_validation_accuracy(rows, best):
    rows = [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in rows]
    assert loop.is_best(rows, "val") is best


def test_where_the_test_set_is_watched_the_last_epoch_is_kept():
    rows = [{"test_accuracy": a, "test_loss": 1.0} for a in (0.9, 0.1)]
    assert loop.is_best(rows, "test")


def test_a_batch_larger_than_the_training_set_is_refused(tiny_params):
    with pytest.raises(UserError, match=r"model.batch_size = 50: there are only 49 training"):
        loop.check_batch_size("model", tiny_params.model, 49)
