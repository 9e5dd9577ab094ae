import keras
import numpy as np
import pytest

from pipeline.core.errors import DIVERGED, UserError
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import training_pflop
from pipeline.training import loop, schedules
from pipeline.training.compiling import new_model
from pipeline.training.epochs import is_best
from pipeline.training.machine import configure_backend
from tests.conftest import with_recipe


def train(prepared, params, epochs, saved=None, network="model", rows=()):
    """Train up to `epochs`, from a saved (model file, rows) on where given; return both."""
    recipe = params.recipe(network).model_copy(update={"epochs": epochs})
    configure_backend(params.train, seed=3)
    if saved:
        model, rows = keras.saving.load_model(saved[0]), list(saved[1])
    else:
        model, rows = new_model(network, recipe, params.train, 10, 32), list(rows)
    trainer(prepared, recipe, params, seed=3).fit(model, rows, lambda *_: None, verbose=0)
    return model, rows


def trainer(prepared, recipe, params, seed=0, watched="val"):
    return loop.Trainer(prepared, recipe, params.augment, seed, True, watched)


def spy_on(model, **hooks):
    """Call functions without arguments while the model trains, after the trainer's callbacks."""
    calls = {name: lambda *_, call=call, **__: call() for name, call in hooks.items()}
    fit, spy = model.fit, keras.callbacks.LambdaCallback(**calls)
    model.fit = lambda *a, callbacks, **k: fit(*a, callbacks=[*callbacks, spy], **k)


def weights_of(model):
    return model.get_layer("logits_dense").kernel.numpy()


def without_times(rows):
    timed = ("seconds", "images_per_second", "peak_memory_mb")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_weights(prepared, tiny_params, tmp_path):
    whole, whole_rows = train(prepared, tiny_params, 3)
    first, rows = train(prepared, tiny_params, 1)
    first.save(tmp_path / "first.keras")
    resumed, resumed_rows = train(prepared, tiny_params, 3, (tmp_path / "first.keras", rows))
    assert without_times(resumed_rows) == without_times(whole_rows)
    np.testing.assert_equal(resumed.get_weights(), whole.get_weights())


def test_a_training_that_stopped_early_trains_no_further(prepared, tiny_params):
    recipe = tiny_params.recipe("model").model_copy(update={"epochs": 9, "stop_after_rising": 2})
    rows = [{"val_loss": loss} for loss in (1.0, 2.0, 3.0)]
    model = new_model("model", recipe, tiny_params.train, 10, 32)
    before = model.get_weights()
    trainer(prepared, recipe, tiny_params).fit(model, rows, lambda *_: None, verbose=0)
    assert len(rows) == 3
    np.testing.assert_equal(model.get_weights(), before)


# Use all parts of a recipe at once: all state between epochs must be in the checkpoint.
EVERYTHING = {
    "optimizer": "muon",
    "learning_rate": 0.1,
    "weight_decay": 0.005,
    "schedule": "linear",
    "label_smoothing": 0.1,
    "image_sizes": [[0.67, 30]],
    "pool_stride": 4,  # after which maps of 30 and 32 pixels have the same size
    "epochs": 3,
}


def test_all_parts_of_a_recipe_are_resumed_exactly(prepared, tiny_params, tmp_path):
    augment = tiny_params.augment.model_copy(
        update={"policy": "translate", "alternate_flips": True}
    )
    params = with_recipe(tiny_params.model_copy(update={"augment": augment}), **EVERYTHING)
    recipe, saved = params.recipe("model"), []

    def save(model, rows):
        if len(rows) == 1:  # the images grow after the second
            model.save(tmp_path / "first.keras")
            saved.extend(rows)

    configure_backend(params.train, seed=3)
    whole, whole_rows = new_model("model", recipe, params.train, 10, 32), []
    trainer(prepared, recipe, params, 3).fit(whole, whole_rows, save, verbose=0)
    assert [row["image_size"] for row in whole_rows] == [30, 30, 32]

    resumed, rows = keras.saving.load_model(tmp_path / "first.keras"), list(saved)
    trainer(prepared, recipe, params, 3).fit(resumed, rows, lambda *_: None, verbose=0)
    assert without_times(rows) == without_times(whole_rows)
    np.testing.assert_equal(resumed.get_weights(), whole.get_weights())


@pytest.mark.slow
def test_without_a_watched_split_only_training_is_scored(prepared, tiny_params):
    recipe = tiny_params.recipe("model").model_copy(update={"epochs": 2})
    model, rows = new_model("model", recipe, tiny_params.train, 10, 32), []
    trainer(prepared, recipe, tiny_params, watched=None).fit(model, rows, lambda *_: None, 0)
    assert len(rows) == 2
    assert not [key for key in rows[0] if key.startswith(("val", "test", "clean"))]
    assert is_best(rows, None)


def test_the_loss_recorded_is_without_smoothing(prepared, tiny_params):
    recipe = tiny_params.recipe("model").model_copy(update={"epochs": 1, "label_smoothing": 0.5})
    model, rows = new_model("model", recipe, tiny_params.train, 10, 32), []
    trainer(prepared, recipe, tiny_params).fit(model, rows, lambda *_: None, verbose=0)
    logits = model.predict(prepared["val"]["image"].astype(np.float32), verbose=0).astype(float)
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    picked = log_probabilities[np.arange(len(logits)), prepared["val"]["label"]]
    assert rows[0]["val_loss"] == pytest.approx(-picked.mean(), rel=1e-4)


def test_the_history_holds_what_each_epoch_used(prepared, tiny_params, monkeypatch):
    traced, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda *a: traced.append("the step") or step(*a))
    model, rows = train(prepared, tiny_params, 2)
    assert traced == ["the step"]  # once: tracing takes seconds
    recipe = tiny_params.recipe("model")
    assert [row["epoch"] for row in rows] == [1, 2]
    for epoch, row in enumerate(rows):
        assert row["learning_rate"] == schedules.learning_rate(recipe, epoch)
        assert row["keep_prob"] == recipe.keep_prob(epoch)
        seen = (epoch + 1) * (len(prepared["train"]) // recipe.batch_size) * recipe.batch_size
        assert row["pflop"] == pytest.approx(training_pflop(model, seen))
        assert row["images_per_second"] > 0
        assert 0 <= row["val_accuracy"] <= 1
        assert row["seconds"] > 0


def test_the_optimizer_and_the_layers_get_the_schedules_values(prepared, tiny_params):
    seen = []
    recipe = tiny_params.recipe("model").model_copy(update={"epochs": 2, "schedule": "linear"})
    model = new_model("model", recipe, tiny_params.train, 10, 32)
    drop = next(layer for layer in model.layers if isinstance(layer, DropBlock2D))

    def note():
        seen.append((float(model.optimizer.learning_rate), float(drop.keep_prob)))

    spy_on(model, on_train_batch_begin=note)
    trainer(prepared, recipe, tiny_params).fit(model, [], lambda *_: None, verbose=0)
    steps = len(prepared["train"]) // recipe.batch_size
    assert steps > 1
    assert seen == [
        pytest.approx((schedules.learning_rate(recipe, epoch, step, steps), keep))
        for epoch, keep in enumerate((1.0, 0.98))
        for step in range(steps)
    ]


@pytest.mark.slow
def test_batches_made_in_the_step_and_many_steps_at_once_give_the_same_weights(
    prepared, tiny_params, monkeypatch
):
    one, _ = train(prepared, tiny_params, 2)
    monkeypatch.setattr(loop, "has_gpu", lambda: True)
    many, _ = train(prepared, tiny_params, 2)
    assert (one.steps_per_execution, many.steps_per_execution) == (1, 3)
    np.testing.assert_equal(many.get_weights(), one.get_weights())


@pytest.mark.parametrize(("steps", "at_once"), [(1, 1), (45, 45), (90, 45), (53, 1), (390, 39)])
def test_a_gpu_does_the_most_steps_at_once_that_divide_an_epoch(monkeypatch, steps, at_once):
    assert loop.steps_at_once(steps) == 1
    monkeypatch.setattr(loop, "has_gpu", lambda: True)
    assert loop.steps_at_once(steps) == at_once


def rows_so_far(*losses):
    rest = {"val_accuracy": 0.1, "image_size": 32, "pflop": 0.0}
    return [{"epoch": i, "val_loss": loss, **rest} for i, loss in enumerate(losses, 1)]


def test_a_resumed_training_goes_on_in_the_schedules(prepared, tiny_params):
    """Two epochs done: the third has 0.002 x 0.98^2 and 1 - 2 x 0.02."""
    _, rows = train(prepared, tiny_params, 3, rows=rows_so_far(2.3, 2.2))
    third = rows[2]
    assert third["epoch"] == 3
    assert third["learning_rate"] == pytest.approx(0.0019208)
    assert third["keep_prob"] == pytest.approx(0.96)


def test_rises_before_an_interruption_count(prepared, tiny_params):
    """The loss of the fourth epoch, about 2.3, is the third rise in a row."""
    params = with_recipe(tiny_params, stop_after_rising=3)
    _, rows = train(prepared, params, 5, rows=rows_so_far(0.1, 0.2, 0.3))
    assert len(rows) == 4


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_loss_that_is_not_finite_stops_at_once_and_names_the_step(prepared, tiny_params):
    recipe = tiny_params.recipe("model")
    model = new_model("model", recipe, tiny_params.train, 10, 32)
    dense = model.get_layer("logits_dense")
    dense.kernel.assign(np.full(dense.kernel.shape, np.nan))
    with pytest.raises(UserError, match=f"^{DIVERGED}: .*nan in epoch 1, by step 1; try a lower"):
        trainer(prepared, recipe, tiny_params).fit(model, [], lambda *_: None, verbose=0)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_validation_loss_that_is_not_finite_ends_the_training(prepared, tiny_params):
    recipe = tiny_params.recipe("model")
    model = new_model("model", recipe, tiny_params.train, 10, 32)
    kernel = model.get_layer("logits_dense").kernel
    spy_on(model, on_test_begin=lambda: kernel.assign(np.full(kernel.shape, np.nan)))
    said = rf"^{DIVERGED}: after epoch 1 .*val_loss is not a finite number; try"
    with pytest.raises(UserError, match=said):
        trainer(prepared, recipe, tiny_params).fit(model, [], lambda *_: None, verbose=0)


def test_small_images_that_do_not_fit_are_refused(tiny_params):
    model = new_model("model", tiny_params.recipe("model"), tiny_params.train, 10, 32)
    recipe = tiny_params.recipe("model").model_copy(update={"epochs": 4})
    small = recipe.model_copy(update={"image_sizes": [[0.2, 20], [0.5, 31]]})
    with pytest.raises(UserError, match=r"model.image_sizes = \[\[0.2, 20\].*: with 20 pixels"):
        loop.check_image_size("model", small, model)
    for sizes in ([], [[0.5, 31]]):
        fits = recipe.model_copy(update={"image_sizes": sizes})
        loop.check_image_size("model", fits, model)
