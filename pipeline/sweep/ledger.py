"""The ledger says which results of a cluster count: for each, the first record written.

Records are files in DVC's remote. On a single machine DVC's run-cache knows what is done.
"""

import json
from typing import Any, NamedTuple

from pipeline.versioning.repository import Stages
from pipeline.versioning.storage import Storage


class Record(NamedTuple):
    """A finished training with its evaluation.

    Attributes:
        label: the training's label, like model-dropblock-0.
        seconds: how long the training took.
        stages: the entries of prepare, train and evaluate in dvc.lock.
    """

    label: str
    seconds: float
    stages: Stages

    @property
    def weights(self) -> list[dict[str, Any]]:
        """The training's outputs according to dvc.lock."""
        return self.stages[f"train@{self.label}"]["outs"]


class Ledger:
    """Records, by the key of the result."""

    def __init__(self, remote: Storage) -> None:
        self._remote, self._storage = remote, remote.within("sweep", "ledger")

    def get(self, key: str) -> Record | None:
        """Return a record; None if there is none, or if some of its files no longer exist."""
        files, path = self._storage.files, f"{self._storage.root}/{key}.json"
        try:
            record = Record(**json.loads(files.cat_file(path)))
        except FileNotFoundError:
            return None
        if self._remote.missing(record.stages):  # `dvc gc` removed some
            files.rm_file(path)
            return None
        return record

    def add(self, key: str, record: Record) -> Record:
        """Write a record unless there is one; return the one that counts."""
        try:
            self._storage.create(f"{key}.json", json.dumps(record._asdict(), indent=1).encode())
        except FileExistsError:
            return self.get(key) or record
        return record
