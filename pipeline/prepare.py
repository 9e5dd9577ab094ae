"""Stage `prepare`: load the data set, sharpen it, split off validation images, shuffle once."""

import argparse
from pathlib import Path

import numpy as np

from pipeline.datasets import load_dataset
from pipeline.duplicates import find_duplicate_groups, mark_duplicates
from pipeline.errors import UserError, exit_on_user_error
from pipeline.params import DataParams, load_params
from pipeline.paths import PREPARED
from pipeline.prepared import Split, save_prepared
from pipeline.records import Dataset
from pipeline.sharpen import sharpen


def split_train_val(
    records: np.ndarray, validation_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split records into shuffled training and stratified validation records.

    Images with a duplicate among the records all go to the training records.

    Raises:
        UserError: the validation share is too small to hold one image of each class, or a class
            has too few images (without duplicates) to be split.
    """
    from sklearn.model_selection import train_test_split

    shuffled = np.random.default_rng(seed).permutation(records)
    if validation_fraction == 0:
        return shuffled, shuffled[:0]
    count = round(validation_fraction * len(records))
    try:
        train, val = train_test_split(
            shuffled, test_size=count, stratify=shuffled["label"], random_state=seed
        )
    except ValueError as error:
        raise UserError(
            f"data.validation_fraction = {validation_fraction}: {len(records)} training images "
            f"cannot be split ({error}); use a larger fraction or data.limit, or 0"
        ) from None
    return exchange_duplicates(train, val)


def exchange_duplicates(train: np.ndarray, val: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exchange the validation images that have a duplicate for training images without, by class.

    Raises:
        UserError: a class has too few images without.
    """
    train, val = train.copy(), val.copy()
    sizes = np.bincount(np.concatenate([train["group"], val["group"]]))
    for label in np.unique(val["label"]):
        out = np.flatnonzero((val["label"] == label) & (sizes[val["group"]] > 1))
        alone = np.flatnonzero((train["label"] == label) & (sizes[train["group"]] == 1))
        if len(alone) < len(out):
            raise UserError(
                f"data.validation_fraction: of class {label} only {len(alone)} training images "
                f"have no duplicate, {len(out)} are needed for validation; use a smaller fraction "
                "or a higher data.duplicate_correlation (null: equal images only)"
            )
        moved = alone[: len(out)]
        train[moved], val[out] = val[out], train[moved]
    return train, val


def limit_dataset(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    """Keep a stratified sample of at most `limit` training and `limit` test images."""
    if limit is None:
        return dataset
    return Dataset(
        _sample(dataset.train, limit, seed),
        _sample(dataset.test, limit, seed),
        dataset.class_names,
        dataset.superclass_names,
    )


def _sample(records: np.ndarray, limit: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    if limit >= len(records):
        return records
    try:
        sample, _ = train_test_split(
            records, train_size=limit, stratify=records["label"], random_state=seed
        )
    except ValueError as error:
        raise UserError(f"data.limit = {limit}: {error}; use a larger limit, or null") from None
    return sample


def superclass_of(dataset: Dataset) -> list[int]:
    """Return the superclass of each class, 0 for a class that no image has."""
    superclasses = np.zeros(len(dataset.class_names), int)
    for records in (dataset.train, dataset.test):
        superclasses[records["label"]] = records["superclass"]
    return superclasses.tolist()


def number_duplicates(dataset: Dataset, correlation: float | None) -> None:
    """Number the groups of duplicates over training and test images, in place."""
    both = np.concatenate([dataset.train["image"], dataset.test["image"]])
    groups = find_duplicate_groups(both, correlation)
    dataset.train["group"], dataset.test["group"] = np.split(groups, [len(dataset.train)])


def count_duplicates(splits: dict[Split, np.ndarray]) -> dict[str, int]:
    """Count the images with a duplicate: in training and validation, and in the test set."""
    known = np.concatenate([splits["train"]["group"], splits["val"]["group"]])
    of_training, within_test = mark_duplicates(splits["test"]["group"], known)
    return {
        "within_training": int((np.bincount(known)[known] > 1).sum()),
        "test_of_training": int(of_training.sum()),
        "within_test": int(within_test.sum()),
    }


def prepare(params: DataParams, folder: Path = PREPARED) -> str:
    """Prepare the data set into `folder` and return its digest."""
    dataset = limit_dataset(load_dataset(params), params.limit, params.seed)
    number_duplicates(dataset, params.duplicate_correlation)
    train, val = split_train_val(dataset.train, params.validation_fraction, params.seed)
    splits: dict[Split, np.ndarray] = {"train": train, "val": val, "test": dataset.test}
    if params.sharpen:
        for records in splits.values():
            records["image"] = sharpen(records["image"])
    metadata = {
        # Where the data came from says nothing about its content, which the digest identifies.
        "params": params.model_dump(exclude={"path", "url"}),
        "class_names": dataset.class_names,
        "superclass_names": dataset.superclass_names,
        "superclass_of": superclass_of(dataset),
        "duplicates": count_duplicates(splits),
    }
    return save_prepared(folder, splits, metadata)


@exit_on_user_error
def main() -> None:
    """Run the stage."""
    argparse.ArgumentParser(prog="python -m pipeline.prepare", description=__doc__).parse_args()
    params = load_params().data
    digest = prepare(params)
    print(f"prepared {params.source} in {PREPARED}, digest {digest[:12]}")


if __name__ == "__main__":
    main()
