"""Which results of a cluster count: one record for each, the first that was written.

They lie in DVC's remote. On one machine DVC's own run-cache knows what is done.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from pipeline.versioning.repository import Stages
from pipeline.versioning.storage import Storage


class Record(NamedTuple):
    """An evaluated training.

    Attributes:
        label: like model-dropblock-0.
        pflop, seconds: what the training took.
        stages: dvc.lock's entries of prepare, train and evaluate.
    """

    label: str
    pflop: float
    seconds: float
    stages: Stages

    @property
    def weights(self) -> list[dict[str, Any]]:
        """What dvc.lock knows of the training's outputs."""
        return self.stages[f"train@{self.label}"]["outs"]


class Ledger:
    """Records by the key of the result."""

    def __init__(self, remote: Storage) -> None:
        self._remote = remote
        self._files, self._root = remote.within("sweep", "ledger")

    def get(self, key: str) -> Record | None:
        """Return a record; None where there is none, or not all of its files any longer."""
        try:
            record = Record(**json.loads(self._files.cat_file(self._path(key))))
        except FileNotFoundError:
            return None
        if self._remote.missing(record.stages):  # `dvc gc` took them
            self._files.rm_file(self._path(key))
            return None
        return record

    def add(self, key: str, record: Record) -> Record:
        """Write a record unless there is one; return the one that counts."""
        try:
            self._create(self._path(key), json.dumps(record._asdict(), indent=1).encode())
        except FileExistsError:
            return self.get(key) or record
        return record

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}.json"

    def _create(self, path: str, content: bytes) -> None:
        """Write a file, all of it or nothing, or raise FileExistsError."""
        if not isinstance(self._files, LocalFileSystem):
            try:
                self._files.pipe_file(path, content, mode="create")
            except OSError:  # S3 has an error of its own for it
                self._files.invalidate_cache()
                if self._files.exists(path):
                    raise FileExistsError(path) from None
                raise
            return
        Path(self._root).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._root, prefix=".") as partial:
            partial.write(content)
            partial.flush()
            os.fsync(partial.fileno())
            os.link(partial.name, path)
