import itertools

import keras
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.files import PREPARED
from pipeline.core.records import Prepared
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.stages.prepare import prepare
from pipeline.training import loop, schedules
from pipeline.training.batches import make_eval_dataset, make_train_dataset
from pipeline.training.machine import configure_backend
from pipeline.training.optimizers import new_model


@pytest.fixture
def prepared(workspace, tiny_params):
    prepare(tiny_params.data)
    return Prepared(PREPARED)


def batches(records, params, seed, first_epoch, count, batch_size=32):
    dataset = make_train_dataset(records, batch_size, params.augment, seed, first_epoch)
    return [(np.asarray(x), np.asarray(y)) for x, y in itertools.islice(dataset, count)]


def test_an_epoch_shows_each_image_at_most_once_in_a_new_order(prepared, tiny_params):
    off = tiny_params.augment.model_copy(update={"max_operations": 0})
    plain = tiny_params.model_copy(update={"augment": off})
    steps = len(prepared["train"]) // 32
    two_epochs = batches(prepared["train"], plain, seed=0, first_epoch=0, count=2 * steps)
    epochs = [
        [image.tobytes() for x, _ in two_epochs[i * steps : (i + 1) * steps] for image in x]
        for i in range(2)
    ]
    known = {image.astype(np.float32).tobytes() for image in prepared["train"]["image"]}
    for epoch in epochs:
        assert len(epoch) == steps * 32
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= known
    assert epochs[0] != epochs[1]


def test_labels_stay_with_their_images(prepared, tiny_params):
    off = tiny_params.augment.model_copy(update={"max_operations": 0})
    plain = tiny_params.model_copy(update={"augment": off})
    label_of = {r["image"].tobytes(): r["label"] for r in prepared["train"]}
    for images, labels in batches(prepared["train"], plain, 0, 0, 5):
        expected = [label_of[image.astype(np.uint8).tobytes()] for image in images]
        assert list(labels) == expected


def test_a_later_start_sees_the_batches_of_an_uninterrupted_training(prepared, tiny_params):
    steps = len(prepared["train"]) // 32
    whole = batches(prepared["train"], tiny_params, 7, 0, 3 * steps)
    resumed = batches(prepared["train"], tiny_params, 7, 2, steps)
    for (x, y), (resumed_x, resumed_y) in zip(whole[2 * steps :], resumed, strict=True):
        np.testing.assert_array_equal(x, resumed_x)
        np.testing.assert_array_equal(y, resumed_y)


def test_another_seed_changes_order_and_augmentation(prepared, tiny_params):
    one, other = (batches(prepared["train"], tiny_params, s, 0, 1)[0][0] for s in (0, 1))
    assert (one != other).any()


def test_training_batches_are_augmented_and_evaluation_batches_are_not(prepared, tiny_params):
    plain = {image.astype(np.float32).tobytes() for image in prepared["train"]["image"]}
    images, _ = batches(prepared["train"], tiny_params, 0, 0, 1)[0]
    unchanged = np.mean([image.tobytes() in plain for image in images])
    assert unchanged < 0.7  # one in four gets no operation at all
    evaluated = np.concatenate([x for x, _ in make_eval_dataset(prepared["val"], 7)])
    np.testing.assert_array_equal(evaluated, prepared["val"]["image"])


def train(prepared, params, epochs, saved=None, network="model", rows=()):
    """Train up to `epochs`, from a saved (model file, rows) on where given; return both."""
    recipe = params.network(network).model_copy(update={"epochs": epochs})
    configure_backend(params.train, seed=3)
    if saved:
        model, rows = keras.saving.load_model(saved[0]), list(saved[1])
    else:
        model, rows = new_model(network, recipe, params.train, 10), list(rows)
    loop.fit(model, prepared, recipe, params.augment, 3, 100, rows, lambda *_: None, verbose=0)
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
    _, rows = train(prepared, tiny_params, 2)
    recipe = tiny_params.model
    assert [row["epoch"] for row in rows] == [1, 2]
    for epoch, row in enumerate(rows):
        assert row["learning_rate"] == schedules.learning_rate(recipe, epoch)
        assert row["keep_prob"] == schedules.keep_prob(recipe, epoch)
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
    model.fit(data, steps_per_epoch=1, epochs=2, verbose=0,
              callbacks=[loop.EpochSettings(recipe, 0), Spy()])  # fmt: skip
    assert seen == [pytest.approx((0.002, 1.0)), pytest.approx((0.00196, 0.98))]


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


def test_the_optimizer_is_the_tutorials_adam(tiny_params):
    optimizer = new_model("model", tiny_params.model, tiny_params.train, 10).optimizer
    config = optimizer.get_config()
    assert (config["beta_1"], config["beta_2"], config["epsilon"]) == (0.9, 0.999, 1e-8)
    assert config["global_clipnorm"] == 100


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
        loop.fit(model, prepared, recipe, tiny_params.augment, 0, 100, [], lambda *_: None, 0)


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
