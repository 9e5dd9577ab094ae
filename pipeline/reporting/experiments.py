"""The project's DVC experiments: their revisions, their results, their MLflow runs."""

import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import NoSCM
from dvc_data.index import DataIndexDirError
from ruamel.yaml import YAML, YAMLError
from scmrepo.exceptions import SCMError

from pipeline.core.errors import UserError
from pipeline.core.files import COMPARISON, OUTPUTS, PREDICTIONS, project_root
from pipeline.core.params import PARAMS_FILE
from pipeline.core.trials import Trial
from pipeline.evaluation.outputs import LOGGED_MODEL
from pipeline.reporting.audit import Answers, of_experiment, read_answers

WORKSPACE = "workspace"
COMMIT = "commit "  # with the start of its hash
Flat = dict[str, Any]


class Experiment(NamedTuple):
    """What an experiment's report says, and the params it was made with, by dotted key.

    Attributes:
        answers: those of its trainings, under its name.
    """

    name: str
    params: Flat
    summary: dict[str, Any]
    answers: dict[str, Answers] = {}  # noqa: RUF012, a NamedTuple's default that nothing changes


class TrackedResult(NamedTuple):
    """A training's result in a DVC experiment, a commit or the workspace, and its MLflow run."""

    experiment: str
    revision: str
    trial: Trial
    run_id: str


def list_revisions() -> list[tuple[str, str | None]]:
    """Return the name and the git revision of the workspace (None), the last commit, experiments.

    Raises:
        UserError: this is no DVC repository.
    """
    try:
        with Repo(str(project_root())) as repo:
            return [(WORKSPACE, None), *_commits(repo)]
    except DvcException as error:
        raise UserError(f"DVC's repository cannot be read: {error}") from None


def _commits(repo: Repo) -> Iterator[tuple[str, str]]:
    if isinstance(repo.scm, NoSCM):
        return
    try:
        head = repo.scm.get_rev()
    except SCMError:  # no commit yet
        return
    yield COMMIT + head[:7], head
    for experiments in repo.experiments.ls(all_commits=True).values():
        yield from experiments


def open_revision(revision: str | None) -> DVCFileSystem:
    """Open the main repository's files at a revision."""
    return DVCFileSystem(str(project_root()), rev=revision)


def compare_experiments(digest: str) -> list[Experiment]:
    """Return each committed result on the same prepared data.

    Args:
        digest: of the prepared data.

    Raises:
        UserError: this is no DVC repository.
    """
    found = []
    for name, revision in list_revisions():
        if revision is None:
            continue
        files = open_revision(revision)
        try:
            summary = json.loads(files.read_text(str(COMPARISON)))
            params = YAML(typ="safe", pure=True).load(files.read_text(str(PARAMS_FILE)))
        except (OSError, ValueError, YAMLError, DataIndexDirError):  # in no cache, or of before
            continue
        for written_beside in ("headline", "contrasts"):
            summary.pop(written_beside, None)
        if summary.get("digest") == digest and "sections" in summary:
            answers = of_experiment(_read_answers(files), name)
            found.append(Experiment(name, flatten(params), summary, answers))
    return found


def _read_answers(files: DVCFileSystem) -> dict[str, Answers]:
    try:
        return read_answers(files.read_bytes(str(PREDICTIONS)))
    except (OSError, DataIndexDirError):
        return {}


def flatten(params: dict[str, Any]) -> Flat:
    """Return params by dotted key; `data` without what the digest of the data stands for."""
    return {
        f"{section}.{key}": value
        for section, values in params.items()
        if section not in ("data", "report", "evaluate")
        for key, value in (values or {}).items()
    }


def list_results() -> list[TrackedResult]:
    """List the results of the workspace, the last commit and all experiments.

    A revision whose results are in no cache here, as after a clone, or damaged, is named and passed
    over.

    Raises:
        UserError: this is no DVC repository.
    """
    return [result for name, rev in list_revisions() for result in _read_results(name, rev)]


def _read_results(experiment: str, revision: str | None) -> Iterator[TrackedResult]:
    files = open_revision(revision)
    try:
        for path in sorted(files.glob(f"{OUTPUTS}/evaluation/*/{LOGGED_MODEL}")):
            if trial := Trial.parse(path.split("/")[-2]):
                run_id = json.loads(files.read_text(path))["run_id"]
                yield TrackedResult(experiment, (revision or "")[:7], trial, run_id)
    except (FileNotFoundError, DataIndexDirError):  # known to dvc.lock, in no cache here
        _pass_over(
            experiment, "its results are in no cache here; `dvc pull` or `dvc repro` brings them"
        )
    except (ValueError, KeyError) as error:
        _pass_over(experiment, f"its results are damaged ({error!r}); `dvc repro` mends them")


def _pass_over(experiment: str, reason: str) -> None:
    print(f"{experiment}: {reason}", file=sys.stderr)
