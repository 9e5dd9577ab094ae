import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.networks.shared.dropblock import DropBlock2D


def layer_for(shape, keep_prob=0.8, block_size=3, seed=1, **kwargs):
    layer = DropBlock2D(keep_prob, block_size, seed=seed, **kwargs)
    layer.build((None, *shape[1:]))
    return layer


def numpy_dropblock(x, noise, keep_prob, block):
    """DropBlock written with loops, straight from its definition."""
    _, height, width, _ = x.shape
    rows, columns = height - block + 1, width - block + 1
    gamma = (1 - keep_prob) * height * width / block**2 / (rows * columns)
    mask = np.ones(x.shape)
    for n, i, j, c in np.argwhere(noise < gamma):
        mask[n, i : i + block, j : j + block, c] = 0
    return x * mask * mask.size / mask.sum(), mask


@pytest.mark.parametrize(
    ("shape", "keep_prob", "block"),
    [
        ((4, 16, 16, 3), 0.8, 5),
        ((4, 16, 16, 3), 0.85, 1),
        ((3, 9, 14, 2), 0.7, 4),
        ((2, 5, 5, 8), 0.5, 5),
        ((5, 12, 7, 1), 0.9, 7),
    ],
)
def test_it_equals_an_independent_numpy_version(shape, keep_prob, block):
    layer = layer_for(shape, keep_prob, block)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    size = (shape[0], shape[1] - block + 1, shape[2] - block + 1, shape[3])
    noise = np.asarray(keras.random.uniform(size, seed=keras.random.SeedGenerator(1)))
    expected, mask = numpy_dropblock(x, noise, keep_prob, block)
    assert 0 < mask.mean() < 1
    np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-5, atol=1e-6)


def test_the_dropped_share_is_that_of_independent_draws():
    shape, keep_prob, block = (64, 20, 20, 8), 0.8, 5
    dropped = 1 - np.asarray(layer_for(shape, keep_prob, block).sample_mask(shape)).mean()
    noise = np.random.default_rng(0).random((64, 16, 16, 8))
    _, mask = numpy_dropblock(np.ones(shape), noise, keep_prob, block)
    assert dropped == pytest.approx(1 - mask.mean(), abs=0.01)
    assert dropped < 1 - keep_prob  # blocks overlap, and gamma doesn't correct for that


def test_block_size_1_drops_single_units_at_the_nominal_rate():
    shape = (64, 16, 16, 16)
    mask = np.asarray(layer_for(shape, 0.85, 1).sample_mask(shape))
    assert mask.mean() == pytest.approx(0.85, abs=0.005)
    neighbours = np.corrcoef(mask[:, :, :-1].ravel(), mask[:, :, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.01


@pytest.mark.parametrize(("keep_prob", "training"), [(0.5, False), (1.0, True)])
def test_it_is_the_identity_at_inference_and_at_keep_1(keep_prob, training):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer_for(x.shape, keep_prob)(x, training=training), x)


def test_the_same_seed_gives_the_same_masks_and_each_call_new_ones():
    x = np.ones((4, 12, 12, 3), np.float32)
    one, same, other = (layer_for(x.shape, seed=s) for s in (1, 1, 2))
    first = np.asarray(one(x, training=True))
    np.testing.assert_array_equal(first, same(x, training=True))
    assert (first != np.asarray(one(x, training=True))).any()
    assert (first != np.asarray(other(x, training=True))).any()


def test_a_block_larger_than_the_map_drops_nothing_and_says_so_once(caplog):
    x = np.ones((2, 4, 4, 3), np.float32)
    layer = layer_for(x.shape, 0.5, 7)
    for _ in range(2):
        np.testing.assert_array_equal(layer(x, training=True), x)
    assert [r.message for r in caplog.records if "nothing is dropped" in r.message] == [
        f"{layer.name}: block size 7 is larger than the 4x4 map, nothing is dropped there "
        "(drop_block_oversize: clamp would drop blocks of the map's size)"
    ]


def test_clamp_drops_blocks_of_the_smaller_side():
    shape = (64, 4, 6, 8)
    layer = layer_for(shape, 0.8, 7, oversize="clamp")
    assert layer.block_size_on(4, 6) == 4
    dropped = 1 - np.asarray(layer.sample_mask(shape))
    assert 0.1 < dropped.mean() < 0.25
    assert set(dropped.sum(axis=(1, 2)).ravel()) <= {0.0, 16.0, 20.0, 24.0}


def test_everything_dropped_gives_zeros_and_no_nan():
    x = np.ones((1, 4, 4, 1), np.float32)
    layer = layer_for(x.shape, 1e-6, 4)
    np.testing.assert_array_equal(layer(x, training=True), np.zeros_like(x))


def test_it_survives_saving_and_loading_with_its_current_keep_probability(tmp_path):
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, DropBlock2D(0.9, 3, "clamp", seed=4, name="drop")(inputs))
    model.get_layer("drop").keep_prob.assign(0.7)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True).get_layer("drop")
    assert loaded.get_config() == model.get_layer("drop").get_config()
    assert float(loaded.keep_prob) == pytest.approx(0.7)


@pytest.mark.parametrize("arguments", [(0, 3), (1.2, 3), (0.9, 0), (0.9, 2.5), (0.9, 3, "ignore")])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="got"):
        DropBlock2D(*arguments)


@pytest.mark.parametrize("shape", [(None, 8, 8), (None, None, 8, 3)])
def test_wrong_inputs_are_refused(shape):
    with pytest.raises(ValueError, match="needs"):
        DropBlock2D(0.9, 3).build(shape)


def test_16_bit_inputs_keep_their_type():
    layer = DropBlock2D(0.8, 3, seed=0, dtype="mixed_float16")
    y = layer(np.ones((4, 16, 16, 3), np.float16), training=True)
    assert y.dtype == "float16"
    assert np.asarray(y, np.float32).mean() == pytest.approx(1, abs=1e-3)


@given(
    st.integers(1, 10), st.integers(1, 10), st.integers(1, 6), st.floats(0.2, 1), st.booleans()
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_what_is_dropped_is_whole_blocks_within_the_map(height, width, block, keep, clamp):
    layer = DropBlock2D(keep, block, "clamp" if clamp else "skip", seed=0)
    maps = np.ones((4, height, width, 2), np.float32)
    result = np.asarray(layer(maps, training=True))
    dropped = result == 0
    side = layer.block_size_on(height, width)
    if side == 0:
        assert not clamp
        assert block > min(height, width)
        np.testing.assert_array_equal(result, maps)
        return
    # Every dropped unit is in a square of `side` that is dropped completely.
    squares = sliding_window_view(dropped, (side, side), axis=(1, 2)).all(axis=(-2, -1))
    covered = np.zeros_like(dropped)
    for n, row, column, channel in np.argwhere(squares):
        covered[n, row : row + side, column : column + side, channel] = True
    np.testing.assert_array_equal(covered, dropped)
    # The kept units are scaled by one factor to keep the mean (unless none is kept).
    if not dropped.all():
        np.testing.assert_allclose(result[~dropped], dropped.size / (~dropped).sum(), rtol=1e-5)
