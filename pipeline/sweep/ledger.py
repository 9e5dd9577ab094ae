"""The ledger says which results of a cluster count: for each, the first record written.

Records are files in DVC's remote. On a single machine DVC's run-cache knows what is done.
"""

import json
from contextlib import suppress
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
        try:
            record = Record(**json.loads(self._storage.files.cat_file(self._path(key))))
        except FileNotFoundError:
            return None
        return None if self._remote.missing(record.stages) else record

    def add(self, key: str, record: Record) -> Record:
        """Write a record unless there is one; return the one that counts."""
        content = json.dumps(record._asdict(), indent=1).encode()
        while True:
            try:
                self._storage.create(f"{key}.json", content)
                return record
            except FileExistsError:
                if counting := self.get(key):
                    return counting
                with suppress(FileNotFoundError):  # `dvc gc` removed the files of that record
                    self._storage.files.rm_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._storage.root}/{key}.json"
