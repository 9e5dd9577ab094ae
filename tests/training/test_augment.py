import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sections import AugmentParams
from pipeline.settings.presets import preset_values
from pipeline.training.augment import (
    augment_batch,
    coarse_dropout_mask,
    interpolation_matrix,
    plan_operations,
)

SEED = tf.constant([3, 5], tf.int64)
# Reference results of OpenCV and imgaug; make_peers.py says how they were made.
PEERS = json.loads((Path(__file__).parent / "imgaug_and_opencv.json").read_text())
OPENCV, IMGAUG = PEERS["opencv"], PEERS["imgaug"]
ONLY = {"crop_pixels": 0, "flip_probability": 0.0, "dropout_fraction": 0.0}


@pytest.fixture
def augment_only(params):
    """Make augment params with all but the given operations switched off."""

    def make(**changes):
        published = {
            "max_operations": 3, "dropout_grid_min": 0.02, "dropout_grid_max": 0.25,
            "dropout_min_cells": 4,
        }  # fmt: skip
        return params.augment.model_copy(update={**published, **ONLY, **changes})

    return make


def gradient_images(count):
    """Images whose pixels tell their place: channel 0 the row, channel 1 the column."""
    rows, columns = np.mgrid[:32, :32]
    image = np.stack([rows, columns, np.full((32, 32), 9)], axis=-1).astype(np.float32)
    return np.repeat(image[np.newaxis], count, axis=0)


def test_each_number_of_operations_and_each_operation_is_equally_likely():
    plan = plan_operations(60_000, 3, SEED)
    applied = np.stack([plan.crop, plan.flip, plan.dropout], axis=1)
    numbers = np.bincount(applied.sum(axis=1), minlength=4) / len(applied)
    np.testing.assert_allclose(numbers, 0.25, atol=0.01)
    np.testing.assert_allclose(applied.mean(axis=0), 0.5, atol=0.01)
    pairs = applied[applied.sum(axis=1) == 2]
    np.testing.assert_allclose(pairs.mean(axis=0), 2 / 3, atol=0.01)


def test_dropout_comes_before_the_crop_half_of_the_time():
    plan = plan_operations(60_000, 3, SEED)
    both = np.asarray(plan.crop) & np.asarray(plan.dropout)
    assert np.asarray(plan.dropout_first)[both].mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_never_more_operations_than_allowed(most):
    plan = plan_operations(1_000, most, SEED)
    applied = np.stack([plan.crop, plan.flip, plan.dropout], axis=1).sum(axis=1)
    assert set(applied) == set(range(most + 1))


def test_flips_mirror_the_columns_of_a_quarter_of_the_images(augment_only):
    # Half of the images get the flip operation, which flips half of those.
    images = gradient_images(5_000)
    result = np.asarray(augment_batch(images, augment_only(flip_probability=0.5), SEED))
    flipped = result[:, 0, 0, 1] == 31
    assert flipped.mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(result[flipped][0], images[0][:, ::-1], atol=1e-4)
    np.testing.assert_allclose(result[~flipped][0], images[0], atol=1e-4)


def test_crops_take_0_to_12_pixels_from_each_side_independently(augment_only):
    images = gradient_images(10_000)
    result = np.asarray(augment_batch(images, augment_only(crop_pixels=12), SEED))
    top, left = result[:, 0, :, 0].min(axis=1), result[:, :, 0, 1].min(axis=1)
    bottom, right = 31 - result[:, -1, :, 0].max(axis=1), 31 - result[:, :, -1, 1].max(axis=1)
    sides = np.stack([top, bottom, left, right], axis=1)
    cropped = sides[sides.max(axis=1) > 0.5]
    # Enlarging computes border pixels only from themselves, so the border shows the crop exactly.
    np.testing.assert_allclose(cropped, np.rint(cropped), atol=1e-3)
    counts = np.stack([np.bincount(np.rint(side).astype(int), minlength=13) for side in cropped.T])
    np.testing.assert_allclose(counts / len(cropped), 1 / 13, atol=0.02)
    correlation = np.corrcoef(cropped.T) - np.eye(4)
    assert abs(correlation).max() < 0.06
    assert abs(result[..., 2] - 9).max() < 1e-3  # nothing from outside the image


def test_coarse_dropout_blackens_up_to_a_fifth_of_the_image(augment_only):
    images = np.full((5_000, 32, 32, 3), 200, np.float32)
    result = np.asarray(augment_batch(images, augment_only(dropout_fraction=0.2), SEED))
    assert ((result == 0) | (result == 200)).all()
    # Half of the images get it, and the dropped share is uniform from 0 to 0.2.
    assert (result == 0).mean() == pytest.approx(0.5 * 0.1, abs=0.008)


def test_half_of_the_dropouts_are_per_channel(augment_only):
    images = np.full((5_000, 32, 32, 3), 200, np.float32)
    result = np.asarray(augment_batch(images, augment_only(dropout_fraction=0.2), SEED))
    holes = result == 0
    shared = (holes.all(axis=3) == holes.any(axis=3)).all(axis=(1, 2))
    touched = holes.any(axis=(1, 2, 3))
    # With few cells, all channels may drop the same cells by chance; hence the tolerance.
    assert shared[touched].mean() == pytest.approx(0.5, abs=0.06)
    never = augment_only(dropout_fraction=0.2, dropout_per_channel=0.0)
    holes = np.asarray(augment_batch(images, never, SEED)) == 0
    np.testing.assert_array_equal(holes.all(axis=3), holes.any(axis=3))


@pytest.mark.parametrize(
    ("share", "least", "cells"),
    [(0.02, 1, 1), (0.02, 4, 4), (0.1, 1, 3), (0.2, 4, 6), (0.25, 4, 8)],
)
def test_the_grid_is_that_share_of_the_image_rounded_down_but_no_coarser_than_allowed(
    augment_only, share, least, cells
):
    one_size = {"dropout_grid_min": share, "dropout_grid_max": share, "dropout_fraction": 0.9}
    images = np.full((500, 32, 32, 3), 200, np.float32)
    params = augment_only(**one_size, dropout_min_cells=least)
    holes = np.asarray(augment_batch(images, params, SEED))[..., 0] == 0
    for axis in (1, 2):
        changes = np.diff(holes, axis=axis).any(axis=(0, 3 - axis)).sum()
        assert changes == cells - 1


@pytest.fixture(scope="module")
def masks():
    """Masks of the tutorial's coarse dropout, (n, 32, 32, 3) booleans of what is dropped."""
    params = AugmentParams(**preset_values("tutorial")["augment"])
    shape = tf.TensorShape((None, 32, 32, 3))
    keep = coarse_dropout_mask(shape, 20_000, params, SEED)
    return np.asarray(keep) == 0


def test_coarse_dropout_drops_as_much_and_as_unevenly_as_imgaug(masks):
    shares = masks.mean(axis=(1, 2, 3))
    assert shares.mean() == pytest.approx(IMGAUG["mean_share"], abs=0.002)
    assert shares.std() == pytest.approx(IMGAUG["sd_share"], abs=0.002)
    assert (shares == 0).mean() == pytest.approx(IMGAUG["empty"], abs=0.01)
    assert (shares == 1).mean() == pytest.approx(IMGAUG["black"], abs=0.001)
    quantiles = np.quantile(shares, [0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(quantiles, IMGAUG["quantiles"], atol=0.006)


def test_coarse_dropout_has_grids_as_imgaug_has_them_the_axes_drawn_apart(masks):
    """Told from the masks that have enough holes: where neighbouring lines differ, a cell ends."""
    shared = (masks.all(axis=3) == masks.any(axis=3)).all(axis=(1, 2))
    assert shared.mean() == pytest.approx(IMGAUG["same_in_all_channels"], abs=0.015)
    dense = masks[masks.mean(axis=(1, 2, 3)) > 0.15]
    rows = np.diff(dense, axis=1).any(axis=(2, 3)).sum(axis=1) + 1
    columns = np.diff(dense, axis=2).any(axis=(1, 3)).sum(axis=1) + 1
    for cells in (rows, columns):
        found = np.bincount(cells, minlength=9)[:9] / len(cells)
        np.testing.assert_allclose(found, IMGAUG["cells_of_dense"], atol=0.025)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < IMGAUG["correlation"] + 0.05


@pytest.mark.parametrize("case", OPENCV["crops"], ids=lambda case: str(case["crop"]))
def test_cropped_images_are_enlarged_as_opencvs_area_does(case):
    top, bottom, left, right = case["crop"]
    image = np.random.default_rng(OPENCV["seed"]).integers(0, 256, (32, 32), np.uint8)
    rows, columns = (
        np.asarray(interpolation_matrix(32, tf.constant([before], tf.float32),
                                        tf.constant([after], tf.float32)))[0]
        for before, after in [(top, bottom), (left, right)]
    )  # fmt: skip
    resized = rows @ image.astype(np.float64) @ columns.T
    np.testing.assert_allclose(resized, case["resized"], atol=0.01)


def test_one_seed_one_result_and_another_seed_another(augment_only):
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8)
    everything = augment_only(crop_pixels=12, flip_probability=0.5, dropout_fraction=0.2)
    first, again = (np.asarray(augment_batch(images, everything, SEED)) for _ in range(2))
    other = np.asarray(augment_batch(images, everything, SEED + 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.min() >= 0 and first.max() <= 255


def test_no_operations_means_unchanged_pixels(augment_only):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    off = augment_only(max_operations=0, crop_pixels=12)
    np.testing.assert_array_equal(augment_batch(images, off, SEED), images)


@given(
    st.builds(
        AugmentParams,
        max_operations=st.integers(0, 3),
        crop_pixels=st.integers(0, 15),
        translate_pixels=st.integers(0, 15),
        flip_probability=st.floats(0, 1),
        dropout_fraction=st.floats(0, 1),
        dropout_grid_min=st.floats(0.01, 0.3),
        dropout_grid_max=st.floats(0.3, 1),
        dropout_min_cells=st.integers(1, 32),
        dropout_per_channel=st.floats(0, 1),
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_params_pixels_stay_pixels(augment, seed):
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    result = np.asarray(augment_batch(images, augment, tf.constant([seed, 1], tf.int64)))
    assert result.shape == images.shape
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 255.001


def translated(params, count=4000, **changes):
    """Where each image's pixel in the middle came from, (count,) rows and columns, and images."""
    update = {"policy": "translate", "translate_pixels": 3, "alternate_flips": False, **changes}
    images = gradient_images(count)
    moved = np.asarray(augment_batch(images, params.augment.model_copy(update=update), SEED))
    return moved[:, 16, 16, 0], moved[:, 16, 16, 1], moved


def test_images_are_translated_by_each_number_of_pixels_alike(params):
    rows, columns, _ = translated(params, flip_probability=0.0)
    for places in (rows, columns):
        found, counts = np.unique(places, return_counts=True)
        np.testing.assert_array_equal(found, np.arange(13, 20))
        np.testing.assert_allclose(counts / len(rows), 1 / 7, atol=0.025)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.06


def test_a_translated_image_is_cut_from_the_one_padded_by_reflection(params):
    rows, columns, moved = translated(params, count=50, flip_probability=0.0)
    padded = np.pad(gradient_images(1)[0], ((3, 3), (3, 3), (0, 0)), mode="reflect")
    for image, row, column in zip(moved, rows.astype(int), columns.astype(int), strict=True):
        top, left = row - 13, column - 13
        np.testing.assert_array_equal(image, padded[top : top + 32, left : left + 32])


def test_translated_images_are_flipped_as_often_as_asked_or_as_told(params):
    rising = np.diff(translated(params, flip_probability=0.3)[2][:, 16, 10:20, 1], axis=1) > 0
    assert set(rising.mean(axis=1)) == {0.0, 1.0}
    assert abs(rising.all(axis=1).mean() - 0.7) < 0.03
    told = np.arange(8) % 3 == 0
    update = {"policy": "translate", "translate_pixels": 2, "flip_probability": 0.5}
    augment = params.augment.model_copy(update=update)
    moved = np.asarray(augment_batch(gradient_images(8), augment, SEED, told))
    np.testing.assert_array_equal(moved[:, 16, 15, 1] > moved[:, 16, 16, 1], told)
