"""Which results of a cluster count: one record for each, the first that was written.

They lie in DVC's remote. On one machine DVC's own run-cache knows what is done.
"""

import json
from typing import Any, NamedTuple

from pipeline.versioning.repository import Stages
from pipeline.versioning.storage import Storage


class Record(NamedTuple):
    """An evaluated training.

    Attributes:
        label: like model-dropblock-0.
        seconds: what the training took.
        stages: dvc.lock's entries of prepare, train and evaluate.
    """

    label: str
    seconds: float
    stages: Stages

    @property
    def weights(self) -> list[dict[str, Any]]:
        """What dvc.lock knows of the training's outputs."""
        return self.stages[f"train@{self.label}"]["outs"]


class Ledger:
    """Records by the key of the result."""

    def __init__(self, remote: Storage) -> None:
        self._remote, self._storage = remote, remote.within("sweep", "ledger")

    def get(self, key: str) -> Record | None:
        """Return a record; None where there is none, or not all of its files any longer."""
        files, path = self._storage.files, f"{self._storage.root}/{key}.json"
        try:
            record = Record(**json.loads(files.cat_file(path)))
        except FileNotFoundError:
            return None
        if self._remote.missing(record.stages):  # `dvc gc` took them
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
