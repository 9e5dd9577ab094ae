"""Stage `prepare`: load the data set, sharpen it, split off validation images, shuffle once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.files import PREPARED
from pipeline.core.records import Dataset, Split, save_prepared
from pipeline.core.sections import DataParams
from pipeline.data.duplicates import find_duplicate_groups
from pipeline.data.sharpen import sharpen
from pipeline.data.sources import load_dataset
from pipeline.data.splits import deal_folds, exchange_duplicates, split_off
from pipeline.settings.params import Params
from pipeline.settings.trainings import DIGEST_SHOWN


def prepare(params: Params) -> str:
    """Prepare the data set and return a sentence with its digest.

    Raises:
        UserError: files are missing or damaged, or the images cannot be split.
    """
    data = params.data
    digest = prepare_data(data, PREPARED)
    return f"prepared {data.source} in {PREPARED}, digest {digest[:DIGEST_SHOWN]}"


def prepare_data(params: DataParams, folder: Path) -> str:
    """Prepare a data set into `folder` and return its digest."""
    dataset = load_dataset(params)
    names, fraction = dataset.class_names, params.validation_fraction
    number_duplicates(dataset, params.duplicate_correlation)
    if dataset.drawn_test:
        train, test = exchange_duplicates("data.test_fraction", dataset.train, dataset.test, names)
        dataset = replace(dataset, train=train, test=test)
    held_out = 0.0 if params.split_by_seed else fraction
    train, val = split_off("data.validation_fraction", dataset.train, held_out, params.seed, names)
    folds = None
    if params.split_by_seed:
        folds = deal_folds(train, fraction, params.seed, names)
        # The metadata describe the split of seed 0; the splits of all seeds have the same sizes.
        train, val = train[folds != 0], train[folds == 0]
        folds = np.concatenate([folds[folds != 0], folds[folds == 0]])
    splits: dict[Split, np.ndarray] = {"train": train, "val": val, "test": dataset.test}
    metadata = {
        # Where the data came from says nothing about its content, which the digest identifies.
        "params": params.model_dump(exclude={"path"}),
        "class_names": names,
        "superclass_names": dataset.superclass_names,
        "superclass_of": superclass_of(dataset),
        "largest_class": np.bincount(train["label"]).max() / len(train),  # its share of `train`
        "duplicates": count_duplicates(splits),
    }

    def read(rows: np.ndarray) -> np.ndarray:
        pixels = dataset.images[rows]
        return sharpen(pixels) if params.sharpen else pixels

    return save_prepared(folder, splits, read, metadata, folds)


def superclass_of(dataset: Dataset) -> list[int]:
    """Return the superclass of each class."""
    # A class without images has no known superclass, unless the superclasses are the classes.
    superclasses = np.arange(len(dataset.class_names)) % len(dataset.superclass_names)
    for records in (dataset.train, dataset.test):
        superclasses[records["label"]] = records["superclass"]
    return superclasses.tolist()


def number_duplicates(dataset: Dataset, correlation: float | None) -> None:
    """Number the groups of duplicates over training and test images, in place."""
    rows = np.concatenate([dataset.train["row"], dataset.test["row"]])
    groups = find_duplicate_groups(dataset.images, correlation, rows)
    dataset.train["group"], dataset.test["group"] = np.split(groups, [len(dataset.train)])


def count_duplicates(splits: dict[Split, np.ndarray]) -> dict[str, int]:
    """Count the images that have duplicates, in training and validation and in the test set."""
    known = np.concatenate([splits["train"]["group"], splits["val"]["group"]])
    test = splits["test"]["group"]
    return {
        "within_training": _repeated(known),
        "test_of_training": int(np.isin(test, known).sum()),
        "within_test": _repeated(test),
    }


def _repeated(groups: np.ndarray) -> int:
    return int((np.bincount(groups)[groups] > 1).sum())
