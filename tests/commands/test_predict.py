import numpy as np
import pytest
from PIL import Image, ImageChops, ImageStat

from pipeline.commands.predict import doubt, load_classifier, top_classes, traits
from pipeline.core.errors import UserError
from pipeline.tracking.registry import Registry
from pipeline.tracking.runs import TRAINING
from tests.conftest import REPOSITORY
from tests.made_up_results import DIGEST, write_results
from tests.small_model import log_small_model


def test_the_most_probable_classes_come_first():
    probabilities = np.array([0.1, 0.6, 0.3])
    assert top_classes(probabilities, ["a", "b", "c"], 2) == [("b", 0.6), ("c", 0.3)]
    assert len(top_classes(probabilities, ["a", "b", "c"], 9)) == 3


def test_a_network_of_the_registry_comes_with_the_names_of_the_prepared_classes(workspace, store):
    write_results(workspace, seeds=[0], classes=2)
    tags = {TRAINING: "identity-0"}
    Registry("digits", DIGEST).register(log_small_model(), "champion", tags, "")
    of_readme = (REPOSITORY / "README.md").read_text().split("```python\n")[1].split("```")[0]
    found = {"images": np.zeros((1, 4), np.uint8)}
    exec(of_readme, found)
    assert found["names"] == ["c0", "c1"]
    assert found["probabilities"].shape == (1, 2)


def test_a_training_that_is_not_there_is_refused_with_those_that_are(workspace):
    write_results(workspace, seeds=[0], networks=["model"])
    with pytest.raises(UserError, match=r"resnet-nodrop-3 is not in .*: resnet-dropblock-0$"):
        load_classifier("model-nodrop-3")


def grey(*values):
    """Return images of one value each, with a pixel that differs."""
    images = np.repeat(np.array(values, np.uint8), 16 * 3).reshape(-1, 4, 4, 3)
    images[:, 0, 0] = 0
    return images


def test_an_image_like_the_others_is_not_doubted():
    assert doubt(grey(60, 100), traits(grey(50, 80, 110))) == [[], []]


def test_an_image_outside_the_range_of_all_others_is_doubted_by_its_traits():
    coloured = grey(100)
    coloured[..., 2] = 10
    bright, low, high = (value * 15 / 16 for value in (240, 50, 110))
    first, unusual = doubt(np.concatenate([grey(240), coloured]), traits(grey(50, 80, 110)))
    assert first[0] == f"brightness {bright:.0f} (in the data {low:.0f} to {high:.0f})"
    assert first[1].startswith("contrast ")
    assert unusual[-1] == "colour 85 (in the data 0 to 0)"


def test_traits_are_those_of_pillow():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    brightness, contrast, colour = traits(image[np.newaxis])[0]
    of_all = ImageStat.Stat(Image.fromarray(image.reshape(8, 24)))
    assert (brightness, contrast) == pytest.approx((of_all.mean[0], of_all.stddev[0]))
    red, green, blue = Image.fromarray(image).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    smallest = ImageChops.darker(ImageChops.darker(red, green), blue)
    difference = ImageStat.Stat(ImageChops.subtract(largest, smallest))
    assert colour == pytest.approx(difference.mean[0])
