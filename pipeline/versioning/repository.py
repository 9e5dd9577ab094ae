"""The project's git repository, and what DVC writes into it."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from pipeline.core.errors import UserError

LOCK = "dvc.lock"
Stages = dict[str, dict[str, Any]]  # entries of dvc.lock


def check_repository() -> None:
    """Raise a UserError where DVC would stop for lack of git, as in a folder from a zip file."""
    here = Path.cwd()
    configs = "".join(file.read_text() for file in here.glob(".dvc/config*") if file.is_file())
    in_git = any((folder / ".git").exists() for folder in (here, *here.parents))
    if not in_git and "no_scm" not in configs:
        raise UserError(
            f"{here} is not a git repository, of which DVC makes experiments; type `git init && "
            "git add --all && git commit --message start`, or `dvc config --local core.no_scm "
            "true` to do without experiments"
        )


def read_lock(folder: Path) -> Stages:
    """Return the entries of dvc.lock, none where there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / LOCK
    return parse_lock(file.read_bytes(), str(file)) if file.exists() else {}


def parse_lock(content: bytes, name: str) -> Stages:
    """Return the entries of a dvc.lock.

    Raises:
        UserError: it is damaged, as after a full disk or with conflict markers.
    """
    try:
        stages = load_fast(content)["stages"]
    except (yaml.YAMLError, TypeError, KeyError):
        stages = None
    if not isinstance(stages, dict):
        raise UserError(
            f"{name} is damaged; `git checkout {LOCK}` brings back the last commit's, or remove "
            "it: `dvc repro` then takes what is there from its cache"
        )
    return stages


class FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Libyaml's, with numbers like 1e-05, as ruamel.yaml and so DVC write them."""


FastLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_fast(content: bytes) -> Any:
    """Parse YAML that DVC wrote by libyaml, a hundred times as fast as ruamel.yaml."""
    return yaml.load(content, Loader=FastLoader)


def write_lock(folder: Path, stages: Stages) -> None:
    """Write a dvc.lock of nothing but these entries."""
    with (folder / LOCK).open("w") as opened:
        YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, opened)


def fit_lock(stages: Stages, values: dict[str, Any], prepared: Stages) -> Stages:
    """Return the entries of a training as of another experiment with the same training.

    What does not matter may differ, such as a key of section recipe that the network overrides.

    Args:
        values: that experiment's params.yaml.
        prepared: the entry of its data.
    """
    data = {out["path"]: out for entry in prepared.values() for out in entry["outs"]}
    fitted = dict(prepared)
    for name, entry in stages.items():
        if name not in prepared:
            keys = entry["params"]["params.yaml"]
            params = {key: reduce(getitem, key.split("."), values) for key in keys}
            deps = [data.get(dep["path"], dep) for dep in entry["deps"]]
            fitted[name] = {**entry, "params": {"params.yaml": params}, "deps": deps}
    return fitted


def git(
    folder: Path, *arguments: str, check: bool = True, environment: dict[str, str] | None = None
) -> str:
    """Run git in a folder and return what it says.

    Args:
        check: whether it must succeed.
        environment: on top of this process's own.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if check and done.returncode:
        raise UserError(f"git {' '.join(arguments[:2])} failed in {folder}: {done.stderr.strip()}")
    return done.stdout.strip()


def read_blobs(folder: Path, names: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the contents of files in git by one process, None for those that there are not.

    Args:
        names: of files in revisions, like `HEAD:./params.yaml`.
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
