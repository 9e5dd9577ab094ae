import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import absl.logging
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from mlflow import MlflowClient

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
if "PYTEST_XDIST_WORKER" in os.environ:  # one core per worker
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
# Uvicorn's set-up of logging closes all handlers; absl's would close what pytest captures.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
REPOSITORY = Path(__file__).parents[1]
CIFAR100 = Path(os.environ.get("CIFAR100_DIR", ""))
needs_cifar100 = pytest.mark.skipif(
    "CIFAR100_DIR" not in os.environ, reason="CIFAR100_DIR names no folder with CIFAR-100"
)
# Results are reproducible only with one thread.
ONE_THREAD = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"
)
# Both networks in seconds: two small blocks, two epochs, two hundred images.
TINY = {
    "data.limit": 200,
    "augment.crop_pixels": 2,
    "recipe.epochs": 2,
    "baseline.width": 0.03,
    "baseline.filters": [64, 128],
    "baseline.kernel_sizes": [7, 5],
    "baseline.epochs": 2,
    "model.width": 0.03,
    "model.filters": [128, 256],
    "model.kernel_sizes": [3, 3],
}


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers(config):
    """Start one more than there are cores for the slow tests: some wait for servers and kills."""
    return (yield) + (config.option.markexpr != "not slow")


def pytest_collection_modifyitems(items):
    """Run whole pipelines first, so that no long test comes last.

    Among them, one file that needs the finished project makes it, while those that do without run.
    """
    needing = [item.path for item in items if "finished_project" in item.fixturenames]

    def place(item):
        if "end_to_end" not in item.path.parts:
            return 2
        return int(item.path in needing and item.path != needing[0])

    items.sort(key=place)


@cache
def quick_params() -> str:
    """Return params.yaml as `preset quick` writes it, whatever a user has changed."""
    from pipeline.settings.presets import preset_text

    return preset_text("quick", {})


def quick_values() -> dict:
    """Return the values of quick_params by section, to change them."""
    from pipeline.versioning.repository import load_fast

    return load_fast(quick_params().encode())


def with_values(values: dict, changes: dict) -> dict:
    """Set dotted keys in values by section, and return them."""
    for key, value in changes.items():
        section, name = key.split(".")
        values.setdefault(section, {})[name] = value
    return values


@pytest.fixture
def rng():
    """Random numbers that do not depend on which tests ran before."""
    return np.random.default_rng(0)


@pytest.fixture
def params():
    """The params of the quick preset."""
    return checked()


def checked(**changes):
    """Return the params of the quick preset with other values, by dotted key."""
    from pipeline.settings.params import check_params

    return check_params(with_values(quick_values(), changes))


def run_name(network="model", **changes):
    """Return the name of a training of make_project's params with other values."""
    from pipeline.settings.names import training_name
    from pipeline.settings.trainings import Training

    return training_name(checked(**{**TINY, **changes}), Training(network, "dropblock", 0))


@pytest.fixture
def tiny_params():
    return checked(**TINY)


@pytest.fixture
def published():
    """The tutorial's recipe."""
    from pipeline.settings.params import check_params
    from pipeline.settings.presets import preset_values

    return check_params(preset_values("tutorial"))


def with_train(params, **changes):
    """Return params with other values in section train."""
    return params.model_copy(update={"train": params.train.model_copy(update=changes)})


def with_recipe(params, network="model", **changes):
    """Return params with other values in a network's resolved recipe, unchecked."""
    recipe = params.recipe(network).model_copy(update=changes)
    return params.model_copy(update={"recipes": {**params.recipes, network: recipe}})


@pytest.fixture
def made_results(workspace, params):
    """Write made-up results, as write_results takes them; return the params that ask for them."""
    from tests.made_up_results import write_results

    def make(seeds=(0,), networks=("baseline", "model"), variants=("dropblock",), **made):
        asked = {"seeds": list(seeds), "networks": list(networks), "variants": list(variants)}
        write_results(workspace, **asked, **made)
        return with_train(params, **asked)

    return make


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that all workers of this test run share, with a lock for what is made there once."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return folder


@pytest.fixture(scope="session")
def finished_project(shared_folder):
    """A committed project whose whole pipeline ran once. Do not change it; copy it first.

    `output` is what `dvc repro` said.
    """
    folder, said = shared_folder / "finished", shared_folder / "finished.txt"
    with FileLock(f"{folder}.lock"):
        if not said.exists():
            project = make_project(folder)
            output = project.run("dvc", "repro").stdout
            project.run("git", "add", "-A")
            project.run("git", "commit", "-qm", "results")
            said.write_text(output)
    project = project_in(folder)
    project.output = said.read_text()
    return project


def copy_project(project: SimpleNamespace, folder: Path) -> SimpleNamespace:
    """Copy a project with its results and its MLflow store, to change it."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return project_in(folder)


@pytest.fixture(scope="session")
def empty_store(shared_folder):
    """MLflow's database with empty tables, which take seconds to create."""
    from pipeline.tracking.store import create_database

    file = shared_folder / "empty.db"
    with FileLock(f"{file}.lock"):
        create_database(file)
    return file


@pytest.fixture
def store(workspace, empty_store):
    """The project's store, opened."""
    from pipeline.tracking.store import open_store

    # Without it, MLflow loads each logged model again, to find its requirements.
    (workspace / "requirements.lock").write_text("keras\n")
    shutil.copyfile(empty_store, workspace / "mlflow.db")
    return open_store()


@pytest.fixture(autouse=True)
def closed_figures():
    """No test leaves figures open for the next."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def no_tracking_environment(monkeypatch):
    """The tests keep to their own store, whatever the caller's environment says."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "DVC_ROOT", "DVC_EXP_NAME", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path, monkeypatch, no_tracking_environment):
    """An empty project folder to run stages in."""
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def invoke(capsys):
    """Run a command line like `prepare` in this process; return its exit code and what it said."""

    def run(*arguments):
        from pipeline.__main__ import main

        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def refused(invoke):
    """Run a command line that must be refused, with exit code 2; return what it said."""

    def run(*arguments):
        code, said = invoke(*arguments)
        assert code == 2, said
        return said

    return run


@pytest.fixture
def cifar100_folder(tmp_path, monkeypatch):
    """A folder like CIFAR-100's binary archive, with random images: 500 and 200 of them."""
    from pipeline.data.sources import cifar100

    counts = {"train.bin": 500, "test.bin": 200}
    small = replace(cifar100.CIFAR100, train_images=500, test_images=200)
    monkeypatch.setattr(cifar100, "CIFAR100", small)
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        rows = rng.integers(0, 256, (count, 3074), np.uint8)
        rows[:, 1] = rng.permutation(np.arange(count) % 100)
        rows[:, 0] = rows[:, 1] // 5
        rows.tofile(folder / name)
    for name, stem, count in [("fine", "class", 100), ("coarse", "super", 20)]:
        names = "".join(f"{stem}{i:02d}\n" for i in range(count))
        (folder / f"{name}_label_names.txt").write_text(names)
    return folder


class Evil:
    """Unpickling it the usual way prints a word."""

    def __reduce__(self):
        return print, ("owned",)


def truncate(file: Path, by: int) -> None:
    """Cut bytes off a file's end; a negative number adds some."""
    os.truncate(file, file.stat().st_size - by)


def tracked(*patterns: str) -> list[str]:
    """Return the files that git tracks, of all or of those that match a pattern."""
    command = ["git", "ls-files", "--", *patterns]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def poke(file: Path, position: int, value: int) -> None:
    """Change a byte of a file."""
    with file.open("r+b") as opened:
        opened.seek(position)
        opened.write(bytes([value]))


def environment_of_a_user() -> dict[str, str]:
    """The caller's environment without what DVC and MLflow would read, with our Python first."""
    ours = ("MLFLOW_", "DVC_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def obey_ctrl_c():
    """Undo what a shell does to its background processes, and they to theirs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_python(folder, *arguments, readable=True, errors=False, session=False):
    """Start a Python process on this repository's code, or on the project's in `folder`."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment_of_a_user(), "PYTHONPATH": str(REPOSITORY),
             "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.PIPE if readable else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
        text=True,
        start_new_session=session,
        preexec_fn=obey_ctrl_c,
    )  # fmt: skip


def wait_until_up(address):
    """Return the page at an address once its server answers."""
    for _ in range(240):
        try:
            with urllib.request.urlopen(address) as page:
                return page.read().decode()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


def stop(process):
    process.terminate()
    process.wait(30)


def runs_of(project):
    """Return a client of the project's store and all its runs."""
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("dropblock-comparison")
    return client, client.search_runs([experiment.experiment_id])


def experiment_references(project):
    """Return git's references of a project's recorded experiments; DVC's own list takes seconds."""
    from pipeline.versioning.repository import REFERENCE

    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps")
    return [name for name in listed.stdout.split() if REFERENCE.match(name)]


def stages_run(output: str) -> list[str]:
    """Return the stages that DVC ran, from what it said, but `check`, which any new param runs."""
    return [name for name in re.findall(r"Running stage '([^']+)'", output) if name != "check"]


def project_in(folder: Path, environment: dict[str, str] | None = None) -> SimpleNamespace:
    """Return a project's folder and `run`, which runs a command in it as a user would.

    Args:
        environment: what the user has set.
    """
    environment = {**environment_of_a_user(), **(environment or {})}

    def run(*command: str, check: bool = True, cwd: Path = folder) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    return SimpleNamespace(folder=folder, run=run, environment=environment)


def clone_of(project, folder, environment=None):
    """Clone a project; the clone can commit."""
    project.run("git", "clone", "-q", str(project.folder), str(folder))
    clone = project_in(folder, environment)
    clone.run("git", "config", "user.email", "test@example.com")
    clone.run("git", "config", "user.name", "test")
    return clone


def make_project(folder: Path, **changes) -> SimpleNamespace:
    """Copy the project into a git and DVC repository of its own, with tiny params, committed.

    Args:
        changes: more values of params.yaml, by dotted key.
    """
    for name in ("pipeline", "presets", ".dvc/config", ".dvc/.gitignore", "tune.yaml",
                 ".gitignore", ".dvcignore", "dvc.yaml", "params.yaml", "requirements.lock",
                 "pyproject.toml"):  # fmt: skip
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    project = project_in(folder)
    tiny = [f"{key}={value}" for key, value in {**TINY, **changes}.items()]
    project.run("python", "-m", "pipeline", "preset", "quick", *tiny)
    project.run("git", "init", "-q")
    project.run("git", "config", "user.email", "test@example.com")
    project.run("git", "config", "user.name", "test")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "start")
    return project
