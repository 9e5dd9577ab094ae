"""Record the results of `dvc repro` as a DVC experiment.

`dvc exp run` records its results itself; those of `dvc repro` would be lost at the next run.
"""

import os
import re
import tempfile
from functools import partial
from pathlib import Path

from pipeline.core.errors import UserError, warn
from pipeline.core.files import project_root
from pipeline.core.git import git
from pipeline.versioning.repository import (
    AS_AUTHOR,
    LOCK,
    experiment_commits,
    experiment_ref,
    read_blobs,
)

NAME = "repro-{}"
# The hash that stage `report` read; `publish` has one too, but that of its previous run.
_RESULT = re.compile(
    r"^  report:\n(?:   .*\n)*?    - path: outputs/evaluation\n\s+hash: md5\n\s+md5: (\w+)", re.M
)


def save_workspace() -> tuple[list[str], str | None]:
    """Record the workspace's result as an experiment of the last commit, unless git has it.

    Changes only git's references, not its index.

    Returns:
        The names of the experiments with this result (the one that DVC is running, if any), and
        the name of the one that was just recorded.
    """
    root = project_root()
    if name := os.environ.get("DVC_EXP_NAME"):
        return [name], None
    result = _result_of((root / LOCK).read_text()) if (root / LOCK).exists() else None
    if result is None:
        return [], None
    try:
        head = git(root, "rev-parse", "HEAD")
        names = sorted(_having(root, result, experiment_commits(root)))
    except UserError:  # no git, or nothing committed yet
        return [], None
    if names or _having(root, result, [("", head)]):
        return names, None
    name = NAME.format(result[:7])
    try:
        git(root, "update-ref", experiment_ref(head, name), _commit_workspace(root, head, name))
    except (OSError, UserError) as error:  # the first: a full disk
        warn(f"this result was not recorded as an experiment: {error}")
        return [], None
    return [name], name


def _having(root: Path, result: str, commits: list[tuple[str, str]]) -> list[str]:
    """Return the names of the named commits that contain a result."""
    locks = read_blobs(root, [f"{commit}:./{LOCK}" for _, commit in commits])
    pairs = zip(commits, locks, strict=True)
    return [name for (name, _), lock in pairs if lock and _result_of(lock.decode()) == result]


def _result_of(lock: str) -> str | None:
    """Return the hash of all evaluations that the report was made from."""
    found = _RESULT.search(lock)
    return found[1] if found else None


def _commit_workspace(root: Path, head: str, message: str) -> str:
    """Commit tracked files as they are, new code and dvc.lock on top of `head`, on no branch."""
    with tempfile.TemporaryDirectory() as folder:
        staged = partial(git, root, environment={"GIT_INDEX_FILE": str(Path(folder) / "index")})
        staged("read-tree", head)
        staged("add", "--update", ".")
        new = staged("ls-files", "-z", "--others", "--exclude-standard", "--", "pipeline")
        staged("add", "--", LOCK, *new.split("\0")[:-1])
        tree = staged("write-tree")
    return git(root, *AS_AUTHOR, "commit-tree", tree, "-p", head, "-m", message)
