"""Your own pictures, your own networks: CONTRIBUTING's examples as written, then predict, serve."""

import json
import os
import re
import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.commands.servers import free_port
from pipeline.settings.edits import leaves
from tests.conftest import (
    REPOSITORY,
    TINY,
    copy_project,
    make_project,
    runs_of,
    start_python,
    stop,
    wait_until_up,
)

pytestmark = pytest.mark.slow

GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text()
GUIDE = GUIDE.split("## Compare your network with the baseline on your images")[1]
LINES = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[1]
MIXER, MOBILENET, _ = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
CLASSES = ["<b>", "a|b", "größe", "two words", "猫"]
COLOURS = [(220, 40, 40), (40, 200, 40), (50, 60, 220), (230, 220, 60), (30, 30, 30)]


def draw(colour, rng, size):
    """A square of a colour on noise."""
    pixels = rng.integers(90, 160, (size[1], size[0], 3), np.uint8)
    height, width = size[1] // 4, size[0] // 4
    pixels[height : 3 * height, width : 3 * width] = colour
    return Image.fromarray(pixels)


def write_birds(folder):
    """Five classes of 40 pictures, one of 80; PNG, JPEG and WebP of several sizes."""
    rng = np.random.default_rng(0)
    for name, colour in zip(CLASSES, COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for place in range(80 if name == "猫" else 40):
            size = [(64, 64), (90, 70), (300, 400)][place % 3]
            kind = ["png", "jpg", "webp"][place % 3]
            draw(colour, rng, size).save(folder / name / f"{place}.{kind}")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The baseline, the resnet and both networks of the guide, trained on pictures of 64x64."""
    folder = tmp_path_factory.mktemp("own")
    project = make_project(folder / "project")
    write_birds(folder / "birds")
    (project.folder / "pipeline/networks/mixer.py").write_text(MIXER)
    (project.folder / "pipeline/networks/mobilenet.py").write_text(MOBILENET)
    assert len(LINES.splitlines()) <= 10
    values = dict(leaves(YAML(typ="safe").load(LINES)))
    assert values.pop("train.networks") == ["baseline", "mixer"]
    values |= {**TINY, "data.limit": None, "mixer.epochs": 4, "mobilenet": {}}
    values["train.networks"] = ["baseline", "mixer", "model", "mobilenet"]
    values["train.seeds"] = [0, 1]
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    project.run("python", "-m", "pipeline", "preset", "quick", *overrides)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "my images and networks")
    project.run("dvc", "repro")
    return project


def test_all_networks_are_compared_on_one_page(project):
    page = (project.folder / "reports/report.md").read_text()
    assert page.startswith("# Baseline, mixer, resnet or mobilenet?\n")
    summary = json.loads((project.folder / "reports/comparison.json").read_text())
    assert set(summary["differences"]) == {"mixer", "resnet", "mobilenet"}
    metadata = json.loads((project.folder / "data/prepared/metadata.json").read_text())
    assert metadata["class_names"] == CLASSES
    assert metadata["images"] == {"train": 173, "val": 19, "test": 48}
    pixels = np.load(project.folder / "data/prepared/images.npy", mmap_mode="r")
    assert pixels.shape == (240, 64, 64, 3)


def test_the_page_fits_five_unequal_classes(project):
    page = (project.folder / "reports/report.md").read_text()
    accuracy = r" +[0-9.]+( ± [0-9.]+)? \|"
    assert re.search(rf"^\| test balanced accuracy, % +\|({accuracy}){{4}}$", page, re.MULTILINE)
    assert "The classes have unequal numbers of training images: balanced accuracy is" in page
    assert "top-5" not in page
    assert "superclass accuracy" not in page
    html = (project.folder / "reports/report.html").read_text()
    assert "&lt;b&gt;" in html and "猫" in html


def test_every_run_is_finished_and_says_the_images_size(project):
    runs = runs_of(project)[1]
    assert {run.data.tags["network"] for run in runs} == {
        "baseline", "mixer", "resnet", "mobilenet",
    }  # fmt: skip
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.params["data.image_size"] == "64"
        assert "folder, 5 classes, 64x64 pixels (" in run.data.tags["mlflow.note.content"]
        if run.data.tags["network"] == "mixer":
            assert run.data.params["learning_rate"] == "0.02"
            assert not {"filters", "drop_block_size", "batch_norm"} & set(run.data.params)


def test_the_champion_names_the_classes_of_a_picture_of_another_size(project, tmp_path):
    said = project.run("python", "-m", "pipeline", "predict", str(tmp_path / "no.png"), check=False)
    assert said.returncode == 2
    file = tmp_path / os.fsdecode(b"a\xff.webp")  # not UTF-8
    draw(COLOURS[4], np.random.default_rng(1), (500, 200)).save(file)
    said = project.run("python", "-m", "pipeline", "predict", str(file)).stdout
    assert f"{tmp_path}/a\ufffd.webp\n" in said
    assert sorted(re.findall(r"^ +[0-9.]+ %  (.+)$", said, re.MULTILINE)) == sorted(CLASSES)


def ask(address, pixels):
    body = json.dumps({"inputs": pixels.tolist()}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.parametrize("network", ["mobilenet", "mixer"])
def test_any_network_is_served_for_images_of_its_size(project, network):
    port = str(free_port())
    model = ("--model", f"{network}-dropblock-0")
    process = start_python(project.folder, "-m", "pipeline", "serve", *model, "--port", port)
    try:
        address = process.stdout.readline().split()[1]
        wait_until_up(address.replace("invocations", "ping"))
        (prediction,) = ask(address, np.zeros((1, 64, 64, 3), int))
        assert set(prediction) == set(CLASSES)
        assert sum(prediction.values()) == pytest.approx(1, abs=1e-5)
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(address, np.zeros((1, 32, 32, 3), int))
        assert "each 64 x 64 x 3 integers" in refused.value.read().decode()
    finally:
        stop(process)


def test_without_git_one_command_makes_the_page(project, tmp_path):
    copy = copy_project(project, tmp_path / "copy")
    shutil.rmtree(copy.folder / ".git")
    copy.run("dvc", "config", "core.no_scm", "true")
    before = (copy.folder / "reports/report.md").read_text()
    copy.run("dvc", "repro", "--force", "--single-item", "report")
    assert (copy.folder / "reports/report.md").read_text() == before
    copy.run("dvc", "repro")
