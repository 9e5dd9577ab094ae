"""The project as it stands, with edits that are not committed, to be unpacked anywhere."""

import configparser
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError
from pipeline.versioning.experiments import cache_folder
from pipeline.versioning.overrides import override_params
from pipeline.versioning.repository import LOCK, Stages, git, write_lock

REF = "refs/sweep/snapshot"
CODE = ("pipeline", "dvc.yaml", "params.yaml")  # what an experiment is made of
AUTHOR = {"user.name": "sweep", "user.email": "sweep@localhost"}  # of commits


class Snapshot(NamedTuple):
    """A git repository in one piece.

    Attributes:
        bundle: what `git bundle` makes.
        head: the commit that experiments hang on.
        state: a commit upon it with the edits of tracked files; `head` where there are none.
        config: DVC's own settings of the machine (.dvc/config.local), with its cache.
    """

    bundle: bytes
    head: str
    state: str
    config: str


def take_snapshot(root: Path) -> Snapshot:
    """Take the last commit and the edits since, as `dvc exp run` does.

    Raises:
        UserError: there is no commit yet, or files that git does not know yet.
    """
    head = git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    if not head:
        raise UserError(f"{root} has no git commit, which experiments hang on; commit first")
    if unknown := git(root, "ls-files", "--others", "--exclude-standard", "--", *CODE):
        raise UserError(f"git does not know {unknown.splitlines()[0]} yet; `git add` it first")
    git(root, "update-index", "-q", "--refresh", check=False)  # copied files look edited before
    author = [text for key, name in AUTHOR.items() for text in ("-c", f"{key}={name}")]
    state = git(root, *author, "stash", "create") or head
    return Snapshot(_bundle(root, state), head, state, _config(root))


def _bundle(root: Path, commit: str) -> bytes:
    own_ref = f"{REF}-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bundle"
        git(root, "update-ref", own_ref, commit)
        try:
            git(root, "bundle", "create", "--quiet", str(file), own_ref)
        finally:
            git(root, "update-ref", "-d", own_ref)
        return file.read_bytes()


def _config(root: Path) -> str:
    config = configparser.ConfigParser(interpolation=None)
    config.read(root / ".dvc" / "config.local")
    # Links where the system has them: clones come and go.
    config["cache"] = {"dir": str(cache_folder()), "type": "reflink,hardlink,symlink,copy"}
    config.write(text := io.StringIO())
    return text.getvalue()


@contextmanager
def clone_of(
    snapshot: Snapshot, folder: Path, overrides: Sequence[str], stages: Stages
) -> Iterator[Path]:
    """Make a clone with an experiment's params and a dvc.lock, in a folder of its own in `folder`.

    Args:
        stages: the entries of dvc.lock.
    """
    with tempfile.TemporaryDirectory(dir=folder) as own:
        clone = Path(own) / "clone"
        unpack(snapshot, clone)
        override_params(clone, overrides)
        if stages:
            write_lock(clone, stages)
        yield clone


def unpack(snapshot: Snapshot, folder: Path) -> None:
    """Make a clone in which the edits are made, as they were, upon the last commit."""
    folder.mkdir(parents=True)
    file = folder / ".git-bundle"
    file.write_bytes(snapshot.bundle)
    git(folder, "init", "--quiet")
    git(folder, "fetch", "--quiet", str(file), "+refs/*:refs/*")
    file.unlink()
    git(folder, "checkout", "--quiet", "--detach", snapshot.head)
    git(folder, "read-tree", "-u", "--reset", snapshot.state)
    for key, name in AUTHOR.items():
        git(folder, "config", key, name)
    # A stale dvc.lock would take precedence over what the caches know.
    (folder / LOCK).unlink(missing_ok=True)
    (folder / ".dvc" / "config.local").write_text(snapshot.config)
