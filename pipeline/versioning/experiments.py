"""Read the project's experiments: sets of params with their results, in git and DVC's cache."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline.core.errors import UserError, and_more
from pipeline.core.files import hash_file, project_root, read_yaml
from pipeline.core.git import git
from pipeline.settings.params import PARAMS_FILE, Params, check_params, load_params
from pipeline.versioning.repository import (
    LOCK,
    Stages,
    experiment_commits,
    load_fast,
    parse_lock,
    read_blobs,
    read_lock,
)

WORKSPACE = "workspace"
COMMIT = "commit "  # with the start of its hash


class Experiment(NamedTuple):
    """An experiment, a commit or the workspace.

    Attributes:
        revision: the start of its commit's hash; empty for the workspace.
        params: those of its results by section, from any version of this project.
        hashes: MD5 of each output that dvc.lock records, by path.
    """

    name: str
    revision: str
    params: dict[str, Any]
    hashes: dict[str, str]

    def read(self, path: Path) -> bytes | None:
        """Return an output's content; None if it does not exist or no local cache has it.

        Raises:
            UserError: the workspace's file has been changed.
        """
        md5 = self.hashes.get(str(path))
        if self.name == WORKSPACE:
            file = project_root() / path
            if md5 and file.is_file() and hash_file(file, "md5") != md5:
                raise changed([str(path)])
            return file.read_bytes() if file.exists() else None
        if not md5:
            return None
        file = cache_folder() / "files" / "md5" / md5[:2] / md5[2:]
        return file.read_bytes() if file.exists() else None

    def read_json(self, path: Path) -> dict[str, Any]:
        """Return the values of a JSON output; {} if it is damaged, or read() has None."""
        try:
            values = json.loads(self.read(path) or b"{}")
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}


def check_outputs(*folders: Path) -> None:
    """Check that the workspace's outputs in these folders are those that dvc.lock records.

    For what reads them outside of `dvc repro`, which checks them itself.

    Raises:
        UserError: a file has been changed, or this is not a DVC repository.
    """
    root = project_root()
    if not folders or not (root / LOCK).exists():
        return
    try:
        with Repo(str(root)) as repo:
            found = repo.data_status(granular=True)["uncommitted"].get("modified", [])
    except DvcException as error:
        raise unreadable(error) from None
    files = [root / name for name in found if not name.endswith("/")]
    asked = [(root / folder).resolve() for folder in folders]
    if mine := [f for f in files if any(f.resolve().is_relative_to(folder) for folder in asked)]:
        raise changed([str(file.relative_to(root)) for file in sorted(mine)])


def changed(files: list[str]) -> UserError:
    """Return the error for outputs that are not those that dvc.lock records."""
    return UserError(
        f"{and_more(files, ' files')}: changed since `dvc repro`, which makes outputs again or "
        "restores them from the cache"
    )


def unreadable(error: DvcException) -> UserError:
    """Return the error for a repository that DVC cannot read."""
    return UserError(f"DVC's repository cannot be read: {error}")


def list_experiments() -> list[Experiment]:
    """Return the workspace, the last commit and all experiments, oldest first.

    Those without params or without results are left out. If experiments on different commits share
    a name, the newest has it alone; the names of the others have the start of their hash.

    Raises:
        UserError: this is not a DVC repository, or a file of the workspace is damaged.
    """
    root = project_root()
    names, files = [(WORKSPACE, ""), *_revisions(root)], (PARAMS_FILE, LOCK)
    here = (path.read_bytes() if (path := root / file).exists() else None for file in files)
    blobs = read_blobs(root, [f"{rev}:./{file}" for _, rev in names[1:] for file in files])
    contents = [*here, *blobs]
    found = []
    for (name, revision), params, lock in zip(names, contents[::2], contents[1::2], strict=True):
        if not params or lock is None:
            continue
        try:
            stages = parse_lock(lock, LOCK)  # empty after a full disk: damaged, too
            values = load_fast(params) if revision else read_yaml(root / PARAMS_FILE)
            used = {**values, **params_of_report(stages)}
        except (UserError, yaml.YAMLError, TypeError):  # the last: params are not a mapping
            if revision:
                continue
            raise
        found.append(Experiment(name, revision[:7], used, _hashes(stages)))
    newest = {each.name: each for each in found}
    return [
        each if newest[each.name] is each else each._replace(name=f"{each.name} ({each.revision})")
        for each in found
    ]


def _revisions(root: Path) -> list[tuple[str, str]]:
    """Return name and hash of the last commit and of all experiments; [] without git."""
    if not (head := git(root, "rev-parse", "--verify", "-q", "HEAD", check=False)):
        return []
    return [(COMMIT + head[:7], head), *experiment_commits(root)]


def params_of_report(stages: Stages) -> dict[str, Any]:
    """Return the params that the last report was made with; params.yaml may have changed since."""
    return stages.get("report", {}).get("params", {}).get(str(PARAMS_FILE), {})


def params_of_results() -> Params:
    """Return the params of the workspace's results: the last report's, or if none, params.yaml's.

    Raises:
        UserError: the params are of another version of this project, or dvc.lock is damaged.
    """
    found = params_of_report(read_lock(project_root()))
    return check_params(found) if found else load_params()


def _hashes(stages: Stages) -> dict[str, str]:
    return {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", [])
        if "md5" in out
    }


@cache
def cache_folder() -> Path:
    """Return the folder of DVC's cache.

    Raises:
        UserError: this is not a DVC repository.
    """
    try:
        with Repo(str(project_root())) as repo:
            return Path(repo.cache.local.path).parents[1]
    except DvcException as error:
        raise unreadable(error) from None
