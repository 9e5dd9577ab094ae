"""Which stages the real DVC runs again after a change in each package."""

import json
import sys

import pytest

from tests.conftest import copy_project

pytestmark = pytest.mark.slow

TRAIN = {"train@baseline-dropblock-0", "train@model-dropblock-0"}
EVALUATE = {"evaluate@baseline-dropblock-0", "evaluate@model-dropblock-0"}
ALL_BUT_TRAIN = {"prepare", "report", "publish", *EVALUATE}
# The stages that depend on the changed file directly; later stages follow from them.
RUN_AGAIN = {
    "core/errors.py": ALL_BUT_TRAIN,
    "core/recipe.py": ALL_BUT_TRAIN | TRAIN,
    "core/records.py": ALL_BUT_TRAIN | TRAIN,
    "settings/identity.py": {"report", "publish"},
    "settings/trainings.py": TRAIN | EVALUATE | {"report", "publish"},
    "data/sharpen.py": {"prepare"} | EVALUATE,
    # A network's file has the name and the colour that pages and runs show.
    "networks/__init__.py": {"report", "publish"},
    "networks/model.py": {
        "train@model-dropblock-0",
        "evaluate@model-dropblock-0",
        "report",
        "publish",
    },
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
IMPORT_ALL = """
import importlib, pkgutil, pipeline
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def project(finished_project, tmp_path_factory):
    """A copy to change files in, every room of which was imported and has its __pycache__."""
    project = copy_project(finished_project, tmp_path_factory.mktemp("rooms") / "copy")
    project.run(sys.executable, "-c", IMPORT_ALL)
    assert list((project.folder / "pipeline/core").glob("__pycache__/*.pyc"))
    return project


def stale(project) -> set[str]:
    """Return the stages that `dvc status` says have changed."""
    return set(json.loads(project.run("dvc", "status", "--json").stdout))


def test_importing_everything_changes_nothing(project):
    assert stale(project) == set()


@pytest.mark.parametrize("file", RUN_AGAIN)
def test_an_edit_runs_again_what_depends_on_its_room_and_no_more(project, file):
    path = project.folder / "pipeline" / file
    text = path.read_text()
    path.write_text(f"{text}\n# edited\n")
    try:
        assert stale(project) == RUN_AGAIN[file]
    finally:
        path.write_text(text)
