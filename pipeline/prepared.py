"""The prepared data: one memory-mapped file of records that training reads."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Prepared:
    """The prepared data: one memory-mapped file of records, the splits one after the other.

    Attributes:
        metadata: source, class names, split sizes, digest and the data params.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.metadata: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
            self._records = np.load(folder / "records.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{folder} holds no prepared data ({error}); run `dvc repro prepare`"
            ) from None

    def __getitem__(self, split: Split) -> np.ndarray:
        """Return the records of a split, without reading them yet."""
        start = 0
        for name in SPLITS:
            stop = start + self.metadata["images"][name]
            if name == split:
                return self._records[start:stop]
            start = stop
        raise KeyError(split)

    @property
    def watched(self) -> Split:
        """The split that chooses the epoch: val, or test in the tutorial's own protocol."""
        return "val" if self.metadata["images"]["val"] else "test"

    @property
    def class_names(self) -> list[str]:
        """The name of each label."""
        return self.metadata["class_names"]


def save_prepared(folder: Path, splits: dict[Split, np.ndarray], metadata: dict[str, Any]) -> str:
    """Write records and metadata into `folder`; return the SHA-256 of splits and records."""
    records = np.concatenate([splits[name] for name in SPLITS])
    images = {name: len(splits[name]) for name in SPLITS}
    digest = hashlib.sha256(json.dumps(images).encode())
    digest.update(records.data)
    metadata = {**metadata, "images": images, "digest": digest.hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "records.npy", records)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")
    return metadata["digest"]
