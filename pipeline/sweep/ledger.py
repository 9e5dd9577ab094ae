"""Which results count: one record for each, the first that was written, on shared storage."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from pipeline.versioning.repository import Stages
from pipeline.versioning.storage import Storage


class Record(NamedTuple):
    """An evaluated training.

    Attributes:
        label: like model-dropblock-0.
        run_id: of the MLflow run that counts.
        pflop, seconds: what the training took.
        stages: dvc.lock's entries of prepare, train and evaluate.
    """

    label: str
    run_id: str
    pflop: float
    seconds: float
    stages: Stages


class Ledger:
    """Records by the key of the result."""

    def __init__(self, storage: Storage) -> None:
        self._files, self._root = storage

    def get(self, key: str) -> Record | None:
        """Return a record, or None."""
        try:
            return Record(**json.loads(self._files.cat_file(self._path(key))))
        except FileNotFoundError:
            return None

    def add(self, key: str, record: Record) -> Record:
        """Write a record unless there is one; return the one that counts."""
        content = json.dumps(record._asdict(), indent=1).encode()
        try:
            self._create(self._path(key), content)
        except FileExistsError:
            return self.get(key) or record
        return record

    def remove(self, key: str) -> None:
        """Forget a result, whose files are gone."""
        self._files.rm_file(self._path(key))

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


class Objects:
    """A cache or a remote of DVC: which objects of dvc.lock's entries it lacks.

    `dvc push` reports success when objects were missing, and dvc.lock knows results that
    `dvc gc` has removed since.
    """

    def __init__(self, storage: Storage) -> None:
        self._files, self._root = storage

    def missing(self, stages: Stages) -> list[str]:
        """Return the hashes of the objects that are not there."""
        self._files.invalidate_cache()
        found = (md5 for stage in stages.values() for out in stage["outs"] for md5 in self._of(out))
        return [md5 for md5 in found if not self._files.exists(self._path(md5))]

    def _of(self, out: dict[str, Any]) -> Iterator[str]:
        """Yield an output's hash, and of a folder that is there the hashes of its files."""
        yield out["md5"]
        if out["md5"].endswith(".dir") and self._files.exists(self._path(out["md5"])):
            for entry in json.loads(self._files.cat_file(self._path(out["md5"]))):
                yield entry["md5"]

    def _path(self, md5: str) -> str:
        return f"{self._root}/files/md5/{md5[:2]}/{md5[2:]}"


def merge(records: Iterable[Record]) -> Stages:
    """Return the entries of all records."""
    return {name: entry for record in records for name, entry in record.stages.items()}
