import itertools

import numpy as np
import pytest

from pipeline.core.records import Images, make_records
from pipeline.training.batches import (
    _workers,
    batch_loader,
    clean_sample,
    first_flips,
    make_eval_dataset,
    make_train_dataset,
    on_device,
    plan_batches,
    resize,
)


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
    train = prepared["train"]
    label_of = {
        image.tobytes(): label for image, label in zip(train["image"], train["label"], strict=True)
    }
    for images, labels in batches(prepared["train"], plain, 0, 0, 5):
        expected = [label_of[image.astype(np.uint8).tobytes()] for image in images]
        assert list(labels) == expected


def test_a_later_start_sees_the_batches_of_an_uninterrupted_training(prepared, tiny_params):
    steps = len(prepared["train"]) // 32
    whole = batches(prepared["train"], tiny_params, 7, 0, 3 * steps)
    resumed = batches(prepared["train"], tiny_params, 7, 2, steps)
    np.testing.assert_equal(resumed, whole[2 * steps :])


def test_the_batches_do_not_depend_on_how_many_are_made_at_once(prepared, tiny_params, monkeypatch):
    made = []
    for workers in (1, 3):
        monkeypatch.setattr("pipeline.training.batches._workers", lambda _, n=workers: n)
        made.append(batches(prepared["train"], tiny_params, 3, 0, 8))
    np.testing.assert_equal(*made)


def test_as_many_batches_are_made_at_once_as_there_are_cores_and_memory_for(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert [_workers(size) for size in (1 << 20, 1 << 28, 1 << 40)] == [64, 4, 2]


def test_another_seed_changes_the_order_and_the_augmentation(prepared, tiny_params):
    (_, labels), (_, others) = (batches(prepared["train"], tiny_params, s, 0, 1)[0] for s in (0, 1))
    assert (labels != others).any()
    images = [next(iter(make_train_dataset(prepared["train"], 32, tiny_params.augment, seed, 0,
                                           reshuffle=False)))[0] for seed in (0, 1)]  # fmt: skip
    assert (np.asarray(images[0]) != np.asarray(images[1])).any()


def test_training_batches_are_augmented_and_evaluation_batches_are_not(prepared, tiny_params):
    plain = {image.astype(np.float32).tobytes() for image in prepared["train"]["image"]}
    images, _ = batches(prepared["train"], tiny_params, 0, 0, 1)[0]
    unchanged = np.mean([image.tobytes() in plain for image in images])
    assert unchanged < 0.7  # one in four gets no operation at all
    evaluated = np.concatenate([x for x, _ in make_eval_dataset(prepared["val"], 7)])
    np.testing.assert_array_equal(evaluated, prepared["val"]["image"])


def test_the_clean_sample_is_as_large_as_the_watched_split_and_always_the_same(prepared):
    sample = clean_sample(prepared, "val")
    assert len(sample) == len(prepared["val"])
    np.testing.assert_array_equal(sample["image"], prepared["train"]["image"][: len(sample)])


def test_without_reshuffling_the_batches_of_all_epochs_hold_the_same_images(prepared, tiny_params):
    steps = len(prepared["train"]) // 32
    dataset = make_train_dataset(
        prepared["train"], 32, tiny_params.augment, seed=0, reshuffle=False
    )
    labels = [np.asarray(y) for _, y in itertools.islice(dataset, 2 * steps)]
    expected = prepared["train"]["label"][: steps * 32].reshape(steps, 32)
    np.testing.assert_array_equal(labels[:steps], expected)
    np.testing.assert_array_equal(labels[steps:], expected)
    images = [np.asarray(x) for x, _ in itertools.islice(dataset, 2 * steps)]
    assert (images[0] != images[steps]).any()  # but with new augmentation


def test_half_of_the_images_are_flipped_first_and_each_seed_flips_others():
    first, other = np.asarray(first_flips(20_000, 0)), np.asarray(first_flips(20_000, 1))
    assert abs(first.mean() - 0.5) < 0.015  # four standard deviations
    assert abs((first == other).mean() - 0.5) < 0.015
    np.testing.assert_array_equal(first, first_flips(20_000, 0))


def test_alternating_flips_show_each_image_one_way_and_then_the_other(prepared, tiny_params):
    still = {"policy": "translate", "alternate_flips": True, "translate_pixels": 0}
    augment = tiny_params.augment.model_copy(update=still)
    records = prepared["train"].first(64)
    for epoch in (0, 1, 2):
        dataset = make_train_dataset(records, 64, augment, 5, epoch, reshuffle=False)
        images = np.asarray(next(iter(dataset))[0])
        flipped = np.asarray(first_flips(64, 5)) ^ (epoch % 2 == 1)
        plain = records["image"].astype(np.float32)
        expected = np.where(flipped[:, None, None, None], plain[:, :, ::-1], plain)
        np.testing.assert_array_equal(images, expected)


def test_small_images_are_means_under_a_triangle(prepared):
    """Against a triangle as wide as two small pixels, centred on each and cut off at the border."""
    size, images = 20, prepared["train"]["image"][:3].astype(np.float64)
    centres = (np.arange(size) + 0.5) * 32 / size - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(32) - centres[:, None]) * size / 32)
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.einsum("sh,nhwc,tw->nstc", weights, images, weights)
    np.testing.assert_allclose(resize(images.astype(np.float32), size), expected, atol=1e-3)


def test_small_batches_hold_the_same_images_made_small(prepared, tiny_params):
    options = (prepared["train"], 32, tiny_params.augment, 1)
    large, labels = next(iter(make_train_dataset(*options)))
    small, same_labels = next(iter(make_train_dataset(*options, size=20)))
    np.testing.assert_array_equal(labels, same_labels)
    np.testing.assert_allclose(small, resize(large, 20), atol=1e-4)
    scored, _ = next(iter(make_eval_dataset(prepared["val"], 10, size=20)))
    assert scored.shape == (10, 20, 20, 3)


@pytest.mark.parametrize("side", [16, 27])  # with 27 pixels, an image is no whole number of words
@pytest.mark.parametrize("policy", ["tutorial", "translate"])
def test_batches_made_on_the_device_are_those_made_by_the_host(tiny_params, policy, side):
    pixels = np.random.default_rng(0).integers(0, 256, (50, side, side, 3), np.uint8)
    images = Images(pixels, make_records(np.arange(50) % 10, 10))
    update = {"policy": policy, "alternate_flips": policy == "translate", "crop_pixels": 2}
    augment = tiny_params.augment.model_copy(update=update)
    expected = make_train_dataset(images, 16, augment, seed=1, first_epoch=1, size=12)
    load = batch_loader(images, augment, 1, 12, on_device(images))
    made = plan_batches(50, 16, seed=1, first_epoch=1).map(load)
    for (batch, labels), (x, y) in itertools.islice(zip(made, expected, strict=True), 4):
        np.testing.assert_array_equal(batch, x)
        np.testing.assert_array_equal(labels, y)
