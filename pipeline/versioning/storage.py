"""Files that all machines of a sweep can reach: a folder, or DVC's remote."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from dvc.exceptions import DvcException
from dvc.repo import Repo
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline.core.errors import UserError, first_line
from pipeline.versioning.repository import Stages

PAUSES = (5.0, 15.0, 30.0, 60.0, 120.0)  # seconds between attempts; a result is worth the wait
Answer = TypeVar("Answer")


class Storage(NamedTuple):
    """A folder on an fsspec file system."""

    files: AbstractFileSystem
    root: str

    def within(self, *folders: str) -> "Storage":
        """Return a subfolder."""
        return Storage(self.files, "/".join((self.root, *folders)))

    def create(self, name: str, content: bytes) -> None:
        """Write a file atomically.

        Raises:
            FileExistsError: the file exists already.
        """
        path = f"{self.root}/{name}"
        if isinstance(self.files, LocalFileSystem):
            Path(self.root).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".") as partial:
                partial.write(content)
                partial.flush()
                os.fchmod(partial.fileno(), 0o644)  # others may share the folder
                os.fsync(partial.fileno())
                os.link(partial.name, path)
            return
        try:
            self.files.pipe_file(path, content, mode="create")
        except OSError:  # S3 raises a different error if the file exists
            self.files.invalidate_cache()
            if self.files.exists(path):
                raise FileExistsError(path) from None
            raise

    def missing(self, stages: Stages) -> list[str]:
        """Return the hashes of objects in dvc.lock's entries that DVC's remote lacks.

        `dvc push` reports success even if objects are missing, and `dvc gc` may remove objects.
        """
        self.files.invalidate_cache()
        outs = (out for stage in stages.values() for out in stage["outs"])
        found = (md5 for out in outs for md5 in self._objects(out["md5"]))
        return [md5 for md5 in found if not self._exists(md5)]

    def _objects(self, md5: str) -> Iterator[str]:
        """Yield an output's hash; for a folder that the remote has, also its files' hashes."""
        yield md5
        if md5.endswith(".dir") and self._exists(md5):
            for entry in json.loads(self.files.cat_file(self._path(md5))):
                yield entry["md5"]

    def _exists(self, md5: str) -> bool:
        """Return whether an object is there; fsspec's `exists` also hides a disk that is away."""
        try:
            self.files.info(self._path(md5))
        except FileNotFoundError:
            return False
        return True

    def _path(self, md5: str) -> str:
        return f"{self.root}/files/md5/{md5[:2]}/{md5[2:]}"


@contextmanager
def remote_errors(remote: Storage) -> Iterator[None]:
    """Turn an error of DVC's remote into a UserError: network and credentials have their own."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"DVC's remote {remote.root} cannot be read ({first_line(error)}); check that it "
            "runs, its endpointurl, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None


def local_storage(folder: Path) -> Storage:
    """Return a folder on this machine."""
    return Storage(LocalFileSystem(), str(folder))


def remote_storage(folder: Path) -> Storage:
    """Return a repository's default DVC remote, with the credentials that DVC uses.

    Raises:
        UserError: there is none, or this Python lacks a package to reach it.
    """
    try:
        with Repo(str(folder)) as repo:
            objects = repo.cloud.get_remote_odb()
            root = objects.path.removesuffix("/files/md5")
            if objects.fs.protocol == "local":
                return local_storage(Path(root))
            return Storage(objects.fs.fs, root)
    except DvcException as error:
        raise UserError(
            f"DVC's remote cannot be used ({first_line(error)}); a cluster's machines share "
            "results through it. Add one with `dvc remote add --default store s3://bucket/path` "
            "(for S3 also run `make setup-cluster`)"
        ) from None


def with_retries(action: Callable[[], Answer]) -> Answer:
    """Call `action`; after an error of any kind retry a few times, with growing pauses."""
    for pause in PAUSES:
        try:
            return action()
        except Exception as error:
            print(f"trying again in {pause:.0f} s: {first_line(error)}", flush=True)
            time.sleep(pause)
    return action()
