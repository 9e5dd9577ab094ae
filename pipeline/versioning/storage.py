"""Files that all machines of a sweep see: a folder, or what DVC's remote is."""

from pathlib import Path
from typing import NamedTuple

from dvc.exceptions import DvcException
from dvc.repo import Repo
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline.core.errors import UserError, first_line


class Storage(NamedTuple):
    """A folder on a file system of fsspec."""

    files: AbstractFileSystem
    root: str

    def within(self, *folders: str) -> "Storage":
        """Return a folder in it."""
        return Storage(self.files, "/".join((self.root, *folders)))


def local_storage(folder: Path) -> Storage:
    """Return a folder of this machine."""
    return Storage(LocalFileSystem(), str(folder))


def remote_storage(folder: Path) -> Storage:
    """Return DVC's default remote of a repository, with the credentials that DVC uses.

    Raises:
        UserError: there is none, or this Python has not what it takes to reach it.
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
            f"DVC's remote cannot be used ({first_line(error)}); the machines of a cluster "
            "share results by it: `dvc remote add --default store s3://bucket/path`, and "
            "`make setup-cluster` for S3"
        ) from None
