"""A snapshot of the project with uncommitted edits, which can be unpacked anywhere."""

import configparser
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError
from pipeline.settings.params import PARAMS_FILE
from pipeline.versioning.experiments import cache_folder
from pipeline.versioning.overrides import override_params
from pipeline.versioning.repository import AS_AUTHOR, AUTHOR, LOCK, Stages, git, write_lock

REF = "refs/sweep/snapshot"
CODE = ("pipeline", "dvc.yaml")  # with params.yaml, all that an experiment consists of


class Snapshot(NamedTuple):
    """A git repository as data.

    Attributes:
        bundle: the output of `git bundle`.
        head: the commit to which experiments belong.
        state: a commit on top of it with the edits of tracked files; `head` if there are none.
        config: this machine's DVC settings (.dvc/config.local), with its cache.
    """

    bundle: bytes
    head: str
    state: str
    config: str

    def stage_variables(self, experiment: str) -> dict[str, str]:
        """Return the variables by which `dvc exp run` names the experiment to its stages."""
        return {"DVC_EXP_NAME": experiment, "DVC_EXP_BASELINE_REV": self.head}


def take_snapshot(root: Path) -> Snapshot:
    """Take the last commit and the edits since then, as `dvc exp run` does.

    Raises:
        UserError: there is no commit yet, the clone is shallow, the project is a subfolder of a
            repository, or git does not track a file yet.
    """
    head = git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    if not head:
        raise UserError(f"{root} has no git commit yet, which experiments need; commit first")
    if git(root, "rev-parse", "--show-prefix"):
        raise UserError(
            f"{root} is a subfolder of a git repository; `sweep` and `tune` need the project to be "
            "a repository of its own"
        )
    if git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise UserError(f"{root} is a shallow clone; `git fetch --unshallow` completes it")
    tracked = (*CODE, str(PARAMS_FILE))
    if unknown := git(root, "ls-files", "--others", "--exclude-standard", "--", *tracked):
        raise UserError(f"{unknown.splitlines()[0]} is not tracked by git; commit it first")
    git(root, "update-index", "-q", "--refresh", check=False)  # or copied files look edited
    state = git(root, *AS_AUTHOR, "stash", "create") or head
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
    # Link files if the system can: clones are short-lived.
    # Quoted: a # would begin a comment, a comma a list.
    own = {"dir": f'"{cache_folder()}"', "type": "reflink,hardlink,symlink,copy"}
    config.read_dict({"cache": own})
    config.write(text := io.StringIO())
    return text.getvalue()


@contextmanager
def clone_of(
    snapshot: Snapshot, folder: Path, overrides: Sequence[str], stages: Stages
) -> Iterator[Path]:
    """Make a clone with an experiment's params and dvc.lock, in a new folder inside `folder`.

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
    """Make a clone of the last commit, with the edits as uncommitted changes."""
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
    # A stale dvc.lock would take precedence over the caches.
    (folder / LOCK).unlink(missing_ok=True)
    (folder / ".dvc" / "config.local").write_text(snapshot.config)
