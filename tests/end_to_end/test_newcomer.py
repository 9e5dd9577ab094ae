"""A newcomer's day with a fresh clone: run, change a number, compare, pull, share, no commit."""

import re
import shlex
import shutil

import pytest
from PIL import Image

from tests.conftest import REPOSITORY, copy_project, project_in, quick_params, runs_of, stages_run

pytestmark = pytest.mark.slow
README = (REPOSITORY / "README.md").read_text()


@pytest.fixture(scope="module")
def project(finished_project, tmp_path_factory):
    """A clone in which `dvc repro` ran, and the repository that it was cloned from."""
    folder = tmp_path_factory.mktemp("newcomer")
    project = copy_project(finished_project, folder / "clone")
    project.run("git", "reset", "-q", "HEAD~1")  # the fixture commits dvc.lock
    shutil.copyfile(REPOSITORY / "Makefile", project.folder / "Makefile")
    project.run("git", "add", "Makefile")
    project.run("git", "commit", "-qm", "makefile")
    project.run("git", "clone", "-q", str(project.folder), str(folder / "upstream"))
    project.run("git", "remote", "add", "origin", str(folder / "upstream"))
    project.upstream = project_in(folder / "upstream")
    return project


def changed(project):
    return project.run("git", "status", "--porcelain").stdout.split("\n")[:-1]


def shown(project):
    """Return the block size of each experiment that `make compare` shows."""
    project.run("make", "--no-print-directory", "-o", "setup", "compare")
    page = (project.folder / "reports/experiments/report.md").read_text()
    lines = page.split("## All settings")[1].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    size = rows[0].index("drop_block_size")
    return {
        name: int(row[size]) for row in rows if row[0] == "resnet" for name in row[-1].split(", ")
    }


def test_a_run_changes_nothing_that_git_tracks_and_a_pull_works(project):
    assert changed(project) == ["?? dvc.lock"]
    for user in ("user.email=a@example.com", "user.name=a"):
        project.upstream.run("git", "config", *user.split("="))
    for file in ("requirements.lock", "reports/quick/report.md"):
        path = project.upstream.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of a later day\n")
    project.upstream.run("git", "add", "-A")
    project.upstream.run("git", "commit", "-qm", "later")
    branch = project.upstream.run("git", "branch", "--show-current").stdout.strip()
    project.run("git", "pull", "-q", "--no-rebase", "origin", branch)
    assert (project.folder / "requirements.lock").read_text() == "of a later day\n"
    assert changed(project) == ["?? dvc.lock"]


def commands(heading):
    """Return the commands of the first console block below a heading of README."""
    block = re.search(r"```console\n(.*?)```", README.split(f"\n## {heading}\n")[1], re.DOTALL)[1]
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def test_readmes_commands_do_in_its_order_what_it_says(project):
    activate, block, rate, own_rate, compare, preset = commands(
        "Change a number, run again, compare"
    )
    assert activate[0] == "source"
    trained = []
    for command in (block, rate, own_rate):
        ran = stages_run(project.run(*command).stdout)
        trained.append([stage.split("-")[0] for stage in ran if stage.startswith("train@")])
    assert trained == [["train@model"], ["train@baseline", "train@model"], ["train@model"]]
    assert changed(project) == [" M params.yaml", "?? dvc.lock"]
    make, *target = compare
    said = project.run(make, "--no-print-directory", "-o", "setup", *target).stdout
    assert "reports/experiments/report.html" in said
    blocks = shown(project)
    (first,) = [name for name in blocks if name.startswith("repro-")]
    assert (blocks.pop(first), set(blocks.values())) == (5, {7})
    assert first in project.run("python", "-m", "pipeline", "lookup", first).stdout
    _, runs = runs_of(project)
    networks = sorted(run.data.tags["network"] for run in runs)
    assert networks == ["baseline"] * 2 + ["resnet"] * 4
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["training"] for run in runs}) == len(runs)
    assert project.run("python", "-m", "pipeline", "doctor").stdout == "nothing to repair\n"
    params = project.folder / "params.yaml"
    mine = params.read_text()
    project.run(*preset)
    assert params.read_text() == quick_params()
    params.write_text(mine)


def test_after_a_commit_the_experiments_are_still_shown(project):
    project.run("git", "commit", "-qam", "the other block size")
    assert set(shown(project).values()) == {5, 7}
    names = project.run("dvc", "exp", "list", "--name-only", "--all-commits").stdout.split()
    assert names[0] in project.run("python", "-m", "pipeline", "lookup", names[0]).stdout


def test_what_is_pushed_is_used_in_another_clone_without_training(project, tmp_path):
    project.run("dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.run("git", "add", ".dvc/config", "dvc.lock")
    project.run("git", "commit", "-qm", "results")
    project.run("dvc", "push", "-q")
    project.run("git", "clone", "-q", str(project.folder), str(tmp_path / "other"))
    other = project_in(tmp_path / "other")
    other.run("dvc", "pull", "-q")
    assert stages_run(other.run("dvc", "repro").stdout) == []
    Image.new("L", (50, 80), 90).save(tmp_path / "a.png")
    model = ("--model", "resnet-dropblock-0")
    said = other.run("python", "-m", "pipeline", "predict", *model, str(tmp_path / "a.png")).stdout
    assert said.count("%") == 5
    assert "resnet" in (other.folder / "reports/report.md").read_text()
    assert "not in this store" in other.run("python", "-m", "pipeline", "lookup").stdout
    champion = ("python", "-m", "pipeline", "predict", str(tmp_path / "a.png"))
    missing = other.run(*champion, check=False)
    assert missing.returncode == 2 and "by `python -m pipeline publish`" in missing.stderr
    other.run("python", "-m", "pipeline", "publish")
    assert other.run(*champion).stdout.count("%") == 5
    assert "not in this store" not in other.run("python", "-m", "pipeline", "lookup").stdout
    assert {run.info.status for run in runs_of(other)[1]} == {"FINISHED"}


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("seeds: ['0; touch RUN']", "train.seeds[0] = '0; touch RUN': input should be a valid"),
        ("networks: [baseline, nope]", "train.networks: 'nope' is not a network; known: baseline"),
    ],
)
def test_a_wrong_training_is_named_and_no_shell_runs_it(finished_project, tmp_path, param, message):
    """All stages before are in the cache, and those of the right trainings."""
    project = copy_project(finished_project, tmp_path / "copy")
    params = project.folder / "params.yaml"
    key = param.partition(":")[0]
    params.write_text(re.sub(rf"(?m)^  {key}: \[.*?\]", lambda _: f"  {param}", quick_params()))
    for target in ([], ["train@baseline-dropblock-0; touch RUN"] if "; touch" in param else []):
        done = project.run("dvc", "repro", *target, check=False)
        assert done.returncode
        assert message in done.stderr
    assert not (project.folder / "RUN").exists()


CHANGED = [
    "data/prepared/metadata.json",
    "outputs/evaluation/model-dropblock-0/metrics.json",
    "outputs/facts/model-dropblock-0.json",
    "outputs/history/model-dropblock-0.csv",
    "reports/comparison.json",
]


def test_changed_results_are_refused_until_repro_restores_them(finished_project, tmp_path):
    project = copy_project(finished_project, tmp_path / "copy")
    files = [project.folder / file for file in CHANGED]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content + b"\n")
    for command, said in [
        ("train model-dropblock-0", f"{CHANGED[0]}: changed since"),
        ("report", f"{CHANGED[0]} and 3 more files: changed since"),
        ("publish", f"{CHANGED[0]} and 4 more files: changed since"),
        ("compare", f"{CHANGED[0]}: changed since"),
        ("lookup", f"{CHANGED[2]}: changed since"),
        ("verify", f"{CHANGED[4]}: changed since"),
    ]:
        done = project.run("python", "-m", "pipeline", *command.split(), check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert said in done.stderr
    project.run("dvc", "repro")
    assert [file.read_bytes() for file in files] == contents
