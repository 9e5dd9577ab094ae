"""Split off validation images: stratified, limited in number, duplicates kept on one side."""

from dataclasses import replace

import numpy as np

from pipeline.core.errors import UserError, and_more
from pipeline.core.records import Dataset


def split_off(
    key: str, records: np.ndarray, fraction: float, seed: int, names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Split records into shuffled training records and a stratified share of the others.

    All images that have a duplicate among the records go to the training records.

    Args:
        key: of params.yaml, that the fraction is from.
        names: of the classes.

    Raises:
        UserError: the share is too small for one image per class, or a class has too few images
            (without duplicates) to be split.
    """
    from sklearn.model_selection import train_test_split

    shuffled = np.random.default_rng(seed).permutation(records)
    if fraction == 0:
        return shuffled, shuffled[:0]
    count = round(fraction * len(records))
    try:
        train, others = train_test_split(
            shuffled, test_size=count, stratify=shuffled["label"], random_state=seed
        )
    except ValueError as error:
        alone = [names[label] for label in np.flatnonzero(np.bincount(records["label"]) == 1)]
        if alone:
            raise UserError(
                f"{key} = {fraction}: there is only one image of {and_more(alone, ' classes')}, "
                "which cannot be on both sides; add images, raise data.limit, or remove the class"
            ) from None
        advice = "smaller" if fraction > 0.5 else "larger"
        raise UserError(
            f"{key} = {fraction}: {len(records)} images cannot be split ({error}); use a {advice} "
            "fraction, or more images per class"
        ) from None
    return exchange_duplicates(key, train, others, names)


def check_all_classes(key: str, records: np.ndarray, purpose: str, names: list[str]) -> None:
    """Raise a UserError if a class has no image among the records."""
    counts = np.bincount(records["label"], minlength=len(names))
    if lacking := [names[label] for label in np.flatnonzero(counts == 0)]:
        raise UserError(
            f"{key} leaves no images for {purpose} of {and_more(lacking, ' classes')}; change it, "
            "add images of these classes, or remove them"
        )


def deal_folds(
    records: np.ndarray, validation_fraction: float, seed: int, names: list[str]
) -> np.ndarray:
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
    folds = np.full(len(records), -1, np.int32)
    sizes = np.bincount(records["group"])
    for label in np.unique(records["label"]):
        of_class = records["label"] == label
        alone = rng.permutation(np.flatnonzero(of_class & (sizes[records["group"]] == 1)))
        size = min(round(validation_fraction * of_class.sum()), len(alone) // count)
        if size < 1:
            raise UserError(
                f"data.split_by_seed: {count} folds need {count} training images without "
                f"duplicates in each class, but class {names[label]} has {len(alone)}; use a "
                "larger data.validation_fraction or data.limit, or split_by_seed: false"
            )
        folds[alone[: count * size]] = np.arange(count).repeat(size)
    return folds


def exchange_duplicates(
    key: str, train: np.ndarray, others: np.ndarray, names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Swap held-out images that have a duplicate with unique training images of the same class.

    Raises:
        UserError: a class has too few unique training images; it names the key of the fraction.
    """
    train, others = train.copy(), others.copy()
    sizes = np.bincount(np.concatenate([train["group"], others["group"]]))
    for label in np.unique(others["label"]):
        out = np.flatnonzero((others["label"] == label) & (sizes[others["group"]] > 1))
        alone = np.flatnonzero((train["label"] == label) & (sizes[train["group"]] == 1))
        if len(alone) < len(out):
            raise UserError(
                f"{key}: class {names[label]} has {len(alone)} training images without a "
                f"duplicate, but {len(out)} must replace held-out images that have one; use a "
                "smaller fraction or a higher data.duplicate_correlation (null: equal images only)"
            )
        moved = alone[: len(out)]
        train[moved], others[out] = others[out], train[moved]
    return train, others


def limit_dataset(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    """Keep a stratified sample of at most `limit` training and `limit` test images."""
    if limit is None:
        return dataset
    train, test = (
        _sample(records, limit, seed, purpose, dataset.class_names)
        for records, purpose in ((dataset.train, "training"), (dataset.test, "testing"))
    )
    return replace(dataset, train=train, test=test)


def _sample(
    records: np.ndarray, limit: int, seed: int, purpose: str, names: list[str]
) -> np.ndarray:
    from sklearn.utils import resample

    if limit >= len(records):
        return records
    sample = resample(
        records, replace=False, n_samples=limit, stratify=records["label"], random_state=seed
    )
    check_all_classes(f"data.limit = {limit}", sample, purpose, names)
    return sample
