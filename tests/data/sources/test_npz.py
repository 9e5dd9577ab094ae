import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.data.pictures import fit_image
from pipeline.data.sources import load_dataset
from tests.conftest import REPOSITORY, checked


@pytest.fixture
def arrays():
    """Like Keras' data sets: grey, labels in a column or not."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 28, 28), np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (6, 28, 28), np.uint8),
        "y_test": (np.arange(6) % 3)[:, None],
    }


@pytest.fixture
def load(workspace):
    def save_and_load(arrays, side=28):
        np.savez(workspace / "mine.npz", **arrays)
        places = {"data.source": "npz", "data.path": "mine.npz", "data.image_size": side}
        return load_dataset(checked(**places).data)

    return save_and_load


def test_grey_images_get_three_channels_and_classes_their_numbers(arrays, load):
    dataset = load(arrays)
    for part, records in (("train", dataset.train), ("test", dataset.test)):
        for channel in range(3):
            images = dataset.images[records["row"], ..., channel]
            np.testing.assert_array_equal(images, arrays[f"x_{part}"])
        np.testing.assert_array_equal(records["label"], arrays[f"y_{part}"].ravel())
    assert dataset.class_names == dataset.superclass_names == ["0", "1", "2"]


def test_colour_images_of_another_size_are_resized_and_classes_named(arrays, load):
    colours = {key: np.stack([value] * 3, -1) for key, value in arrays.items() if key[0] == "x"}
    dataset = load({**arrays, **colours, "class_names": ["a", "b", "ç", "none"]}, side=40)
    assert dataset.images.shape == (36, 40, 40, 3)
    assert dataset.class_names == ["a", "b", "ç", "none"]
    for part, records in (("train", dataset.train), ("test", dataset.test)):
        expected = [fit_image(Image.fromarray(i), 40, "crop") for i in colours[f"x_{part}"]]
        np.testing.assert_array_equal(dataset.images[records["row"]], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((30, 28, 28))}, "x_train is an array of float64 .*; give uint8"),
        ({"x_train": np.zeros((30, 28, 28, 2), np.uint8)}, "x_train is an array of uint8"),
        ({"x_train": np.zeros((30, 784), np.uint8)}, "x_train is an array of uint8"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8)}, "x_test has no images"),
        ({"x_test": np.zeros((6, 20, 28), np.uint8)}, "give both the same shape"),
        ({"y_train": np.arange(29)}, "y_train is an array of int64 .* each of the 30 images"),
        ({"y_test": np.zeros(6)}, "y_test is an array of float64"),
        ({"y_test": np.arange(6) - 1}, "label -1 of image 0 is not in 0 to 65535"),
        ({"y_train": np.zeros(30, int), "y_test": np.zeros(6, int)}, "there is only one class, 0"),
        ({"class_names": ["a", "b"]}, "class_names has 2 names, but there is a label 2"),
        ({"class_names": ["a", "b", "a"]}, "not a list of distinct strings"),
        ({"y_test": np.array([object()] * 6)}, "mine.npz: cannot be read .*give an .npz file of"),
    ],
)
def test_other_arrays_are_refused(arrays, load, changes, message):
    with pytest.raises(UserError, match=message):
        load({**arrays, **changes})


def test_the_guides_lines_store_what_keras_loads(workspace, arrays):
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text()
    (lines,) = re.findall(r"import numpy as np\n\n(\(x_train.*?)```", guide, re.DOTALL)
    assert len(lines.splitlines()) == 2
    parts = [(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
    loader = SimpleNamespace(load_data=lambda: parts)
    datasets = SimpleNamespace(datasets=SimpleNamespace(fashion_mnist=loader))
    exec(lines, {"keras": datasets, "np": np})
    dataset = load_dataset(checked(**{"data.source": "npz", "data.path": "mine.npz"}).data)
    assert (len(dataset.train), len(dataset.test)) == (30, 6)


def test_a_missing_array_a_missing_path_and_another_file_are_refused(arrays, load, workspace):
    with pytest.raises(UserError, match=r"x_test not found, only .*x_train"):
        load({key: value for key, value in arrays.items() if key != "x_test"})
    for content in (b"", b"no zip", (workspace / "mine.npz").read_bytes()[:-200]):
        (workspace / "b.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"b.npz: cannot be read"):
            load_dataset(checked(**{"data.source": "npz", "data.path": "b.npz"}).data)
    with pytest.raises(UserError, match=r"data.path = null: data.source: npz needs an .npz file"):
        load_dataset(checked(**{"data.source": "npz"}).data)
