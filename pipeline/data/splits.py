"""Split off validation images: stratified, limited in number, duplicates kept on one side."""

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.records import Dataset


def split_train_val(
    records: np.ndarray, validation_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split records into shuffled training and stratified validation records.

    All images that have a duplicate among the records go to the training records.

    Raises:
        UserError: the validation share is too small for one image per class, or a class has too few
            images (without duplicates) to be split.
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
        fraction = "smaller" if validation_fraction > 0.5 else "larger"
        raise UserError(
            f"data.validation_fraction = {validation_fraction}: {len(records)} training images "
            f"cannot be split ({error}); use a {fraction} fraction, a larger data.limit, or 0"
        ) from None
    return exchange_duplicates(train, val)


def deal_folds(records: np.ndarray, validation_fraction: float, seed: int) -> np.ndarray:
    """Deal training records to round(1 / validation_fraction) folds of the same size.

    Each class is dealt evenly. Images that have a duplicate among the records, and images left
    over, are in no fold: they are trained on, whichever fold is held out.

    Returns:
        (n,) fold numbers counted from 0; -1 for no fold.

    Raises:
        UserError: a class has too few images (without duplicates) to give each fold one.
    """
    rng = np.random.default_rng(seed)
    count = round(1 / validation_fraction)
    folds = np.full(len(records), -1, np.int8 if count < 128 else np.int32)
    sizes = np.bincount(records["group"])
    for label in np.unique(records["label"]):
        of_class = records["label"] == label
        alone = rng.permutation(np.flatnonzero(of_class & (sizes[records["group"]] == 1)))
        size = min(round(validation_fraction * of_class.sum()), len(alone) // count)
        if size < 1:
            raise UserError(
                f"data.split_by_seed: {count} folds need {count} training images without "
                f"duplicates in each class, but class {label} has {len(alone)}; use a larger "
                "data.validation_fraction or data.limit, or split_by_seed: false"
            )
        folds[alone[: count * size]] = np.arange(count).repeat(size)
    return folds


def exchange_duplicates(train: np.ndarray, val: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Swap validation images that have a duplicate with unique training images of the same class.

    Raises:
        UserError: a class has too few unique training images.
    """
    train, val = train.copy(), val.copy()
    sizes = np.bincount(np.concatenate([train["group"], val["group"]]))
    for label in np.unique(val["label"]):
        out = np.flatnonzero((val["label"] == label) & (sizes[val["group"]] > 1))
        alone = np.flatnonzero((train["label"] == label) & (sizes[train["group"]] == 1))
        if len(alone) < len(out):
            raise UserError(
                f"data.validation_fraction: class {label} has {len(alone)} training images without "
                f"a duplicate, but {len(out)} are needed for validation; use a smaller fraction "
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
