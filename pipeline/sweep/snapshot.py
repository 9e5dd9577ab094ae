"""The project as it stands, with edits that are not committed, to be unpacked anywhere."""

import configparser
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError
from pipeline.versioning.repository import LOCK, git

REF = "refs/sweep/snapshot"
CODE = ("pipeline", "dvc.yaml", "params.yaml")  # what an experiment is made of
TAIL = 12  # lines of what a failed command said
IDENTITY = ("user.name", "user.email")


class Snapshot(NamedTuple):
    """A git repository in one piece.

    Attributes:
        bundle: what `git bundle` makes.
        head: the commit that experiments hang on.
        state: a commit upon it with the edits of tracked files; `head` where there are none.
        identity: name and e-mail address for commits.
        config: DVC's own settings of the machine, .dvc/config.local.
    """

    bundle: bytes
    head: str
    state: str
    identity: tuple[str, str]
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
    names = [git(root, "config", key, check=False) or "sweep" for key in IDENTITY]
    as_user = [
        t for key, name in zip(IDENTITY, names, strict=True) for t in ("-c", f"{key}={name}")
    ]
    git(root, "update-index", "-q", "--refresh", check=False)  # copied files look edited before
    state = git(root, *as_user, "stash", "create") or head
    with tempfile.TemporaryDirectory() as folder:
        own_ref = f"{REF}-{os.getpid()}"
        file = Path(folder) / "bundle"
        git(root, "update-ref", own_ref, state)
        try:
            git(root, "bundle", "create", "--quiet", str(file), own_ref)
        finally:
            git(root, "update-ref", "-d", own_ref)
        bundle = file.read_bytes()
    config = root / ".dvc" / "config.local"
    return Snapshot(
        bundle, head, state, (names[0], names[1]), config.read_text() if config.exists() else ""
    )


def unpack(snapshot: Snapshot, folder: Path, cache: Path | None) -> None:
    """Make a clone in which the edits are made, as they were, upon the last commit.

    Args:
        cache: DVC's cache to share; None for one of its own.
    """
    folder.mkdir(parents=True)
    file = folder / ".git-bundle"
    file.write_bytes(snapshot.bundle)
    git(folder, "init", "--quiet")
    git(folder, "fetch", "--quiet", str(file), "+refs/*:refs/*")
    file.unlink()
    git(folder, "checkout", "--quiet", "--detach", snapshot.head)
    git(folder, "read-tree", "-u", "--reset", snapshot.state)
    for key, name in zip(IDENTITY, snapshot.identity, strict=True):
        git(folder, "config", key, name)
    # A stale one would stand before what the caches know.
    (folder / LOCK).unlink(missing_ok=True)
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(snapshot.config)
    if cache is not None:
        # Links where the system has them: clones come and go.
        config["cache"] = {"dir": str(cache), "type": "reflink,hardlink,symlink,copy"}
    with (folder / ".dvc" / "config.local").open("w") as opened:
        config.write(opened)


def dvc(*arguments: str) -> list[str]:
    """Return the command line of DVC in this Python."""
    return [sys.executable, "-m", "dvc", *arguments]


def last_lines(said: str) -> str:
    """Return the end of what a failed command said."""
    return "\n".join(said.splitlines()[-TAIL:])


def user_environment() -> dict[str, str]:
    """Return the environment in which a stage's `python` is this one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "RAY_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def find_cache(root: Path) -> Path:
    """Return the folder of DVC's cache.

    Raises:
        UserError: this is no DVC repository.
    """
    done = subprocess.run(
        dvc("cache", "dir"), cwd=root, env=user_environment(), capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"DVC's repository {root} cannot be read: {done.stderr.strip()}")
    return Path(done.stdout.strip().splitlines()[-1])
