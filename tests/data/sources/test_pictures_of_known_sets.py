"""A known data set, written out as pictures, is prepared and trained as from its own source."""

import json

import numpy as np
import pytest
from PIL import Image

from pipeline.core.records import Prepared
from pipeline.data.sources import load_dataset
from pipeline.stages.prepare import prepare_data
from tests.conftest import CIFAR100, TINY, checked, needs_cifar100

DIGITS = {"data.source": "digits", "data.limit": 300}
SETS = {
    "digits": DIGITS,
    "cifar100": {"data.source": "cifar100", "data.path": str(CIFAR100.resolve()),
                 "data.limit": 2000, "data.validation_fraction": 0.2},
}  # fmt: skip


def write_out(dataset, folder):
    """Write train and test as PNG pictures in class folders, numbered in their order."""
    for part, records in (("train", dataset.train), ("test", dataset.test)):
        for name in dataset.class_names:
            (folder / part / name).mkdir(parents=True)
        for number, record in enumerate(records):
            file = folder / part / dataset.class_names[record["label"]] / f"{number:05}.png"
            Image.fromarray(dataset.images[record["row"]]).save(file)


@pytest.fixture(
    params=["digits", pytest.param("cifar100", marks=[needs_cifar100, pytest.mark.slow])]
)
def both(request, workspace):
    """A sample of a data set, prepared from its own source and from pictures."""
    params = checked(**SETS[request.param]).data
    write_out(load_dataset(params), workspace / "mine")
    pictures = {"source": "folder", "path": str(workspace / "mine"), "limit": None}
    prepare_data(params, workspace / "own")
    prepare_data(params.model_copy(update=pictures), workspace / "pictures")
    return Prepared(workspace / "own"), Prepared(workspace / "pictures")


def test_pixels_splits_labels_and_duplicates_are_the_same(both, workspace):
    own, pictures = both
    files = [(workspace / name / "images.npy").read_bytes() for name in ("own", "pictures")]
    assert files[0] == files[1]
    assert own.class_names == pictures.class_names
    for split in ("train", "val", "test"):
        for field in ("label", "group"):
            np.testing.assert_array_equal(own[split][field], pictures[split][field])
    if own.metadata["superclass_names"] == own.class_names:
        assert own.digest == pictures.digest
    counts = [json.dumps(each.metadata["duplicates"]) for each in both]
    assert counts[0] == counts[1]


def weights_after(prepared):
    """A tiny baseline's weights after an epoch."""
    import keras

    from pipeline.training.compiling import new_model
    from pipeline.training.loop import Trainer

    params = checked(**{**TINY, "baseline.epochs": 1})
    recipe, classes = params.recipe("baseline"), len(prepared.class_names)
    keras.utils.set_random_seed(0)
    model = new_model("baseline", recipe, params.train, classes, prepared.image_size)
    trainer = Trainer(prepared, recipe, params.augment, 0, reshuffle=True, watched="val")
    trainer.fit(model, [], lambda *_: None, verbose=0)
    return model.get_weights()


@pytest.mark.slow
def test_the_weights_are_the_same(both):
    np.testing.assert_equal(*map(weights_after, both))
