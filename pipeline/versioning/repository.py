"""The project's git repository and dvc.lock."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, ClassVar

import voluptuous
import yaml
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.core.git import git
from pipeline.settings.params import PARAMS_FILE

LOCK = "dvc.lock"
AUTHOR = {"user.name": "pipeline", "user.email": "pipeline@localhost"}  # of this tool's commits
AS_AUTHOR = [option for key, name in AUTHOR.items() for option in ("-c", f"{key}={name}")]
REFERENCE = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")  # others: DVC's queue
Stages = dict[str, dict[str, Any]]  # entries of dvc.lock


def check_repository() -> None:
    """Raise a UserError if DVC would fail for lack of git, as in a folder from a zip file."""
    here = Path.cwd()
    configs = "".join(file.read_text() for file in here.glob(".dvc/config*") if file.is_file())
    in_git = any((folder / ".git").exists() for folder in (here, *here.parents))
    if not in_git and "no_scm" not in configs:
        raise UserError(
            f"{here} is not a git repository, which DVC needs for experiments; type `git init && "
            "git add --all && git commit --message start`, or `dvc config --local core.no_scm "
            "true` to work without experiments"
        )


def read_lock(folder: Path) -> Stages:
    """Return the entries of dvc.lock; {} if there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / LOCK
    return parse_lock(file.read_bytes(), str(file)) if file.exists() else {}


def parse_lock(content: bytes, name: str) -> Stages:
    """Return the entries of a dvc.lock.

    Raises:
        UserError: it is damaged, for example by a full disk or with conflict markers.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # slow; `check` and `publish` parse no lock

    try:
        return COMPILED_LOCKFILE_SCHEMA(load_fast(content))["stages"]
    except (yaml.YAMLError, voluptuous.Invalid, KeyError):
        raise UserError(
            f"{name} is damaged; restore it with `git checkout {LOCK}`, or remove it: "
            "`dvc repro` then restores results from its cache"
        ) from None


class FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Libyaml's loader for what ruamel.yaml, and thus DVC, writes.

    As there, 1e-05 is a number; yes, no, on, off and 12:30 are words.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [
            (tag, form) for tag, form in found
            if not tag.endswith(("int", "float")) and (not tag.endswith("bool") or first in "tTfF")
        ]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }  # fmt: skip


NUMBERS = {  # of YAML 1.2
    "int": r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$",
    "float": r"([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
}
for kind, form in NUMBERS.items():
    FastLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{kind}", re.compile(form), list("-+.0123456789")
    )


def load_fast(content: bytes) -> Any:
    """Parse YAML that DVC wrote, with libyaml: a hundred times as fast as with ruamel.yaml."""
    return yaml.load(content, Loader=FastLoader)


def write_lock(folder: Path, stages: Stages) -> None:
    """Write a dvc.lock that has only these entries."""
    with (folder / LOCK).open("w") as opened:
        YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, opened)


def fit_lock(stages: Stages, values: dict[str, Any], prepared: Stages) -> Stages:
    """Adapt the dvc.lock entries of a training to another experiment with the same training.

    Params without effect may differ, such as a key of section `recipe` that the network overrides.

    Args:
        values: the other experiment's params.yaml.
        prepared: the other experiment's entry of stage `prepare`.
    """
    data = {out["path"]: out for entry in prepared.values() for out in entry["outs"]}
    fitted = dict(prepared)
    for name, entry in stages.items():
        if name not in prepared:
            keys = entry["params"][str(PARAMS_FILE)]
            params = {key: reduce(getitem, key.split("."), values) for key in keys}
            deps = [data.get(dep["path"], dep) for dep in entry["deps"]]
            fitted[name] = {**entry, "params": {str(PARAMS_FILE): params}, "deps": deps}
    return fitted


def read_blobs(folder: Path, names: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the contents of files in git, read by one process; None for files that do not exist.

    Args:
        names: files in revisions, like `HEAD:./params.yaml`.
    """
    asked = "".join(f"{name}\n" for name in names).encode()
    command = ["git", "cat-file", "--batch"]
    output = subprocess.run(command, cwd=folder, input=asked, capture_output=True).stdout
    place = 0
    for _ in names:
        header, place = output[place : output.index(b"\n", place)], output.index(b"\n", place) + 1
        size = int(header.rpartition(b" ")[2]) if b" blob " in header else -1
        yield output[place : place + size] if size >= 0 else None
        place += size + 1


def experiment_ref(head: str, name: str) -> str:
    """Return the git reference under which DVC keeps an experiment of a commit."""
    return f"refs/exps/{head[:2]}/{head[2:]}/{name}"


def experiment_commits(folder: Path) -> list[tuple[str, str]]:
    """Return the name and the commit of each experiment, oldest first."""
    shown = "--format=%(objectname) %(refname)"
    listed = git(folder, "for-each-ref", "--sort=creatordate", shown, "refs/exps")
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return [(found[1], commit) for commit, ref in pairs if (found := REFERENCE.match(ref))]
