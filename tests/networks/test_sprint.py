import keras
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.records import Images, make_records
from pipeline.networks import sprint as module
from pipeline.networks.shared.models import adapt_model, count_flops
from pipeline.training.compiling import new_model
from tests.conftest import checked
from tests.networks.conftest import layer_parameters

# Inputs, filters, kernels and inner filters of each stage.
STAGES = [(24, 64, (3, 1, 1), 64), (64, 256, (3, 3, 1), 192), (256, 768, (2, 3, 3), 512)]


def expected_sprint(width, classes=100):
    """The weights that are trained: kernels, two weights a channel and norm, logits, no biases."""
    counts = []
    for inputs, filters, (first, second, third), inner in STAGES:
        inputs = inputs if inputs == 24 else int(inputs * width)
        filters, inner = int(filters * width), int(inner * width)
        counts += [first**2 * inputs * filters, 2 * filters, second**2 * filters * inner,
                   2 * inner, third**2 * inner * filters, 2 * filters]  # fmt: skip
    return [*counts, filters * classes]


@pytest.mark.parametrize("width", [1.0, 0.125])
def test_it_has_exactly_the_weights_of_the_formulae(build, width):
    assert layer_parameters(build("sprint", width=width)) == expected_sprint(width)


def test_its_operations_are_those_of_the_formulae(build):
    """Without padding, the stem's maps have 31 pixels a side, and pooling leaves odd ends out."""
    expected, side = 31**2 * 2**2 * 3 * 24, 31
    for inputs, filters, (first, second, third), inner in STAGES:
        expected += side**2 * first**2 * inputs * filters
        side //= 2
        expected += side**2 * (second**2 + third**2) * filters * inner
    assert count_flops(build("sprint", width=1.0)) == 2 * (expected + 768 * 100)


def test_the_recipes_initializer_reaches_all_layers_but_the_stem(build):
    model = build("sprint", initializer="he_normal")
    kernels = [x for x in model.layers if hasattr(x, "kernel") and x.name != "stem_conv"]
    assert kernels[-1].name == "logits_dense"
    assert {type(x.kernel_initializer).__name__ for x in kernels} == {"HeNormal"}


def test_each_stage_halves_the_map_and_adds_its_branch(build):
    sprint = build("sprint")
    for i, side in enumerate([15, 7, 3], 1):
        assert sprint.get_layer(f"stage{i}_add").output.shape[1:3] == (side, side)
    assert sprint.get_layer("features").output.shape == (None, 96)


def test_the_logits_are_scaled(build):
    scales = {}
    for scale in (1.0, 0.25):
        keras.utils.set_random_seed(0)
        pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
        scales[scale] = np.asarray(build("sprint", logits_scale=scale)(pixels))
    np.testing.assert_allclose(scales[0.25], scales[1.0] / 4, rtol=1e-5)


def as_images(pixels):
    return Images(pixels, make_records(np.zeros(len(pixels), int), 100))


def patches_of(images):
    """All patches of 2x2 pixels, each colour normalised over all images."""
    pixels = images.astype(np.float64)
    pixels = (pixels - pixels.mean((0, 1, 2))) / pixels.std((0, 1, 2))
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (2, 2), axis=(1, 2))
    return patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)


def test_the_stem_whitens_patches_of_the_training_images(build):
    """Its first half is uncorrelated with variances v / (v + 5e-4); its second is the opposite.

    The mean is not quite 0, because fewer patches have the pixels at the border.
    """
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.normal(size=(20, 8, 8, 3)), np.ones((1, 4, 4, 1)))
    images = (128 + 30 * smooth + 3 * rng.normal(size=smooth.shape)).clip(0, 255).astype(np.uint8)
    model = build("sprint")
    adapt_model("sprint", model, as_images(images))
    stem = keras.Model(model.input, model.get_layer("stem_conv").output)
    outputs = np.asarray(stem(images.astype(np.float32)), np.float64).reshape(-1, 24)
    variances = np.linalg.eigvalsh(np.cov(patches_of(images).T))
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=0.02)
    expected = np.diag(variances / (variances + 5e-4))
    np.testing.assert_allclose(np.cov(outputs[:, :12].T), expected, atol=1e-3)
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12], atol=1e-5)


def test_a_colour_that_no_image_has_is_no_problem(build):
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    images[..., 2] = 0
    model = build("sprint")
    adapt_model("sprint", model, as_images(images))
    assert np.isfinite(np.asarray(model(images.astype(np.float32)))).all()


def test_a_new_model_has_the_stem_of_its_first_training_images_and_keeps_it(params, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2500, 32, 32, 3), np.uint8)
    recipe, stems = params.recipe("sprint").model_copy(update={"width": 0.05}), []
    for given in (images, images[:2000], images[500:]):
        model = new_model("sprint", recipe, params.train, 10, 32, as_images(given))
        stems.append(model.get_layer("stem_conv").get_weights())
    model.run_eagerly = True  # tracing takes seconds
    model.train_on_batch(images[:8].astype(np.float32), np.arange(8))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for first, same, other, kept in zip(
        *stems, again.get_layer("stem_conv").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()
        np.testing.assert_array_equal(other, kept)
    assert not again.get_layer("stem_conv").trainable


@pytest.mark.slow
def test_larger_images_are_learnt_from_fewer_of_them(build):
    images = np.random.default_rng(0).integers(0, 256, (40, 256, 256, 3), np.uint8)
    stems = []
    for given in (images, images[:32]):
        model = build("sprint", image_size=256)
        module.adapt(model, given)
        stems.append(model.get_layer("stem_conv").get_weights())
    np.testing.assert_equal(*stems)


def test_an_error_in_adapting_names_the_file(build, monkeypatch):
    monkeypatch.setattr(module, "whitening", lambda pixels: 1 / 0)
    with pytest.raises(UserError, match=r"sprint.py, line \d+: ZeroDivisionError"):
        adapt_model("sprint", build("sprint"), as_images(np.zeros((1, 32, 32, 3), np.uint8)))


@pytest.mark.parametrize("changes", [{"filters": [8, 8]}, {"branch_kernel_sizes": [[1], [3], [3]]}])
def test_stages_without_all_their_numbers_are_refused(changes):
    with pytest.raises(UserError, match="sprint: filters, kernel_sizes, branch_filters and"):
        checked(**{f"sprint.{key}": value for key, value in changes.items()})
