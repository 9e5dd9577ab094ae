"""Keep what `dvc repro` leaves in the workspace as a DVC experiment.

`dvc exp run` records its results itself; those of `dvc repro` are overwritten by the next one.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from pipeline.core.errors import first_line
from pipeline.core.files import project_root
from pipeline.tracking.store import warn

LOCK = "dvc.lock"
NAME = "repro-{}"
_RESULT = re.compile(r"path: outputs/evaluation\n\s+hash: md5\n\s+md5: (\w+)")
_AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "pipeline"), ("EMAIL", "pipeline@localhost"))
}


def keep_result() -> str | None:
    """Record the workspace's result as an experiment of the last commit; return its name.

    None where that is not needed or not possible: in an experiment of DVC's own, where the result
    is recorded already, and without git or a commit. Only git's references change, not its index.
    """
    root = project_root()
    if os.environ.get("DVC_EXP_NAME") or not (root / LOCK).exists():
        return None
    result = _result_of((root / LOCK).read_text())
    try:
        head = _git("rev-parse", "HEAD")
        recorded = [
            head,
            *_git("for-each-ref", "--format=%(refname)", experiment_ref("?" * 40, "*")).split(),
        ]
    except (OSError, subprocess.CalledProcessError):  # no git, or nothing committed yet
        return None
    if result is None or any(_result_of(_lock_of(revision)) == result for revision in recorded):
        return None
    name = NAME.format(result[:7])
    try:
        commit = _commit_workspace(head, name)
        _git("update-ref", experiment_ref(head, name), commit)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or first_line(error)
        warn(f"this result is not kept as an experiment: {reason.strip()}")
        return None
    return name


def experiment_ref(head: str, name: str) -> str:
    """Return the git reference under which DVC keeps an experiment of a commit."""
    return f"refs/exps/{head[:2]}/{head[2:]}/{name}"


def _result_of(lock: str) -> str | None:
    """Return the hash of all evaluations, which the report was made of."""
    found = _RESULT.search(lock)
    return found[1] if found else None


def _lock_of(revision: str) -> str:
    try:
        return _git("show", f"{revision}:./{LOCK}")
    except subprocess.CalledProcessError:  # it has none
        return ""


def _commit_workspace(head: str, message: str) -> str:
    """Commit tracked files as they are, new code and dvc.lock on a commit, but on no branch."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git("read-tree", head, **index)
        _git("add", "--update", ".", **index)
        new = _git("ls-files", "-z", "--others", "--exclude-standard", "--", "pipeline", **index)
        _git("add", "--", LOCK, *new.split("\0")[:-1], **index)
        tree = _git("write-tree", **index)
    return _git("commit-tree", tree, "-p", head, "-m", message, **_AUTHOR)


def _git(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=project_root(),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
