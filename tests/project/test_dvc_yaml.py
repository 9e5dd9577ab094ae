"""dvc.yaml declares what each stage reads: packages of pipeline/ and the stage's own file."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.core.files import read_yaml
from pipeline.core.sections import TrainParams
from pipeline.settings.params import known_keys
from tests.conftest import REPOSITORY

STAGES = read_yaml(REPOSITORY / "dvc.yaml")["stages"]
WITH_CODE = [name for name, stage in STAGES.items() if "deps" in stage]
NETWORK = "${item.network}"
# Code that cannot change a stage's outputs; editing it must not trigger retraining.
SETTINGS = {"pipeline/networks/__init__.py", "pipeline/settings"}
CARRIERS = {
    "prepare": SETTINGS,
    "train": {
        *SETTINGS,
        "pipeline/core",
        "pipeline/data",
        "pipeline/stages/train.py",
        "pipeline/tracking",
    },
    "evaluate": SETTINGS,
    "report": {"pipeline/data/pictures.py", "pipeline/data/splits.py"},
    # Models are exported by code that `evaluate` depends on.
    "publish": {"pipeline/data", "pipeline/training"},
}


def code_of(stage: str) -> set[str]:
    """Return the files and folders of code that a stage declares."""
    return {d for d in STAGES[stage]["deps"] if isinstance(d, str) and d.startswith("pipeline/")}


def imports(file: Path) -> set[Path]:
    """Return the project's files that a file imports, anywhere in its text."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline"):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    places = {REPOSITORY / name.replace(".", "/") for name in names}
    files = {place.with_suffix(".py") for place in places} | {p / "__init__.py" for p in places}
    return {found for found in files if found.exists() and found.stat().st_size}


def closure(stage: str) -> set[str]:
    """Return all files that a stage imports, itself among them."""
    todo, seen = {REPOSITORY / f"pipeline/stages/{stage}.py"}, set()
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= imports(file) - seen
    return {str(file.relative_to(REPOSITORY)) for file in seen}


def lies_under(file: str, deps: set[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


def test_no_command_holds_a_param_which_a_shell_would_run():
    assert not [name for name, stage in STAGES.items() if "${" in stage["cmd"]]


@pytest.mark.parametrize("stage", WITH_CODE)
def test_each_file_that_a_stage_imports_lies_under_a_dependency(stage):
    undeclared = {
        file for file in closure(stage) if not lies_under(file, code_of(stage) | CARRIERS[stage])
    }
    assert not undeclared


@pytest.mark.parametrize("stage", WITH_CODE)
def test_each_dependency_is_imported_by_its_stage(stage):
    # Networks' own files are imported by their names.
    declared = code_of(stage) - {"pipeline/networks", f"pipeline/networks/{NETWORK}.py"}
    unused = {dep for dep in declared if not any(lies_under(f, {dep}) for f in closure(stage))}
    assert not unused


def test_the_dependencies_are_few_enough_to_read():
    assert sum(len(code_of(stage)) for stage in WITH_CODE) <= 35


TRAIN, EVALUATE = ({f"{stage} {network}" for network in ("baseline", "model")}
                   for stage in ("train", "evaluate"))  # fmt: skip
ALL_BUT_TRAIN = {"prepare", "report", "publish", *EVALUATE}
# The stages that depend on a file directly; later stages follow from them.
RUN_AGAIN = {
    "core/errors.py": ALL_BUT_TRAIN,
    "core/recipe.py": ALL_BUT_TRAIN | TRAIN,
    "core/records.py": ALL_BUT_TRAIN | TRAIN,
    "settings/identity.py": {"report", "publish"},
    "settings/trainings.py": TRAIN | EVALUATE | {"report", "publish"},
    "data/sharpen.py": {"prepare"} | EVALUATE,
    # A network's file has the name and the colour that pages and runs show.
    "networks/__init__.py": {"report", "publish"},
    "networks/model.py": {"train model", "evaluate model", "report", "publish"},
    "networks/shared/blocks.py": TRAIN | EVALUATE | {"report", "publish"},
    "tracking/registry.py": {"publish"},
    "versioning/kept.py": {"publish"},
    "training/augment.py": TRAIN | EVALUATE,
    "evaluation/scores.py": EVALUATE | {"report", "publish"},
    "reporting/sections/summary.py": {"report"},
    "reporting/experiments.py": {"report"},
    "stages/train.py": set(),
    "stages/report.py": {"report"},
    "stages/publish.py": {"publish"},
    "commands/compare.py": set(),
    "__main__.py": set(),
}


@pytest.mark.parametrize("file", RUN_AGAIN)
def test_an_edit_runs_again_what_depends_on_its_package_and_no_more(file):
    again = set()
    for stage in WITH_CODE:
        for network in ("baseline", "model"):
            deps = {dep.replace(NETWORK, network) for dep in code_of(stage)}
            if lies_under(f"pipeline/{file}", deps):
                again.add(f"{stage} {network}" if stage in ("train", "evaluate") else stage)
    assert again == RUN_AGAIN[file]


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_network_depends_on_its_own_file_and_no_other(stage):
    networks = {d for d in code_of(stage) if d.startswith("pipeline/networks")}
    assert networks == {"pipeline/networks/shared", f"pipeline/networks/{NETWORK}.py"}


def test_importing_a_room_does_not_change_it():
    assert "__pycache__/" in (REPOSITORY / ".dvcignore").read_text().splitlines()


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate"])
def test_each_declared_param_exists(stage):
    known = known_keys()
    for declared in STAGES[stage]["params"]:
        section, _, key = declared.replace(NETWORK, "model").partition(".")
        assert section in known
        assert not key or key in known[section]


@pytest.mark.parametrize("stage", ["check", "report", "publish"])
def test_what_reads_all_params_depends_on_the_whole_file(stage):
    assert STAGES[stage]["params"] == [{"params.yaml": None}]


def test_a_training_depends_on_the_recipe_and_on_its_networks_section():
    assert {"recipe", NETWORK} < set(STAGES["train"]["params"])


def test_training_depends_on_each_training_param_but_the_lists_of_the_matrix():
    declared = {p for p in STAGES["train"]["params"] if p.startswith("train.")}
    expected = {f"train.{key}" for key in TrainParams.model_fields}
    assert declared == expected - {"train.networks", "train.seeds", "train.variants"}


def written() -> set[str]:
    """Return what the stages write, of one training."""
    declared = [out for stage in STAGES.values() for kind in ("outs", "metrics")
                for out in stage.get(kind, [])]  # fmt: skip
    item = {"network": "model", "variant": "dropblock", "seed": "0"}
    return {re.sub(r"\$\{item\.(\w+)\}", lambda m: item[m[1]], out) for out in declared}


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="no git repository")
def test_what_a_run_writes_is_not_in_git():
    def git(*arguments):
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return set(subprocess.run(command, capture_output=True, text=True).stdout.split())

    assert len(written()) >= 10
    assert git("check-ignore", *written()) == written()
    assert git("ls-files", "dvc.lock", *written()) == set()
    assert git("check-ignore", "dvc.lock") == set()  # DVC fails if git ignores it
