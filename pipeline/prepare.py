"""Stage `prepare`: load the data set, sharpen it, split off validation images, shuffle once."""

import argparse
from pathlib import Path

import numpy as np

from pipeline.datasets import load_dataset
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

    Raises:
        UserError: the validation share is too small to hold one image of each class, or a class
            has too few images to be split.
    """
    from sklearn.model_selection import train_test_split

    shuffled = np.random.default_rng(seed).permutation(records)
    if validation_fraction == 0:
        return shuffled, shuffled[:0]
    count = round(validation_fraction * len(records))
    try:
        return tuple(
            train_test_split(
                shuffled, test_size=count, stratify=shuffled["label"], random_state=seed
            )
        )
    except ValueError as error:
        raise UserError(
            f"data.validation_fraction = {validation_fraction}: {len(records)} training images "
            f"cannot be split ({error}); use a larger fraction or data.limit, or 0"
        ) from None


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


def prepare(params: DataParams, folder: Path = PREPARED) -> str:
    """Prepare the data set into `folder` and return its digest."""
    dataset = limit_dataset(load_dataset(params), params.limit, params.seed)
    train, val = split_train_val(dataset.train, params.validation_fraction, params.seed)
    splits: dict[Split, np.ndarray] = {"train": train, "val": val, "test": dataset.test.copy()}
    if params.sharpen:
        for records in splits.values():
            records["image"] = sharpen(records["image"])
    metadata = {
        # Where the data came from says nothing about its content, which the digest identifies.
        "params": params.model_dump(exclude={"path", "url"}),
        "class_names": dataset.class_names,
        "superclass_names": dataset.superclass_names,
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
