"""Bad input of all kinds at the commands: exit code 2, one message with the way out, no traceback.

What was computed before stays as it was.
"""

import io
import json
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.conftest import REPOSITORY, write_results


def set_params(folder, **changes):
    values = YAML(typ="safe").load(REPOSITORY / "params.yaml")
    for key, value in changes.items():
        section, name = key.split("__")
        values[section][name] = value
    YAML().dump(values, folder / "params.yaml")


@pytest.fixture
def said(workspace, invoke):
    """Run a command that must be refused; return its message."""
    set_params(workspace)

    def refuse(command):
        code, text = invoke(*command.split())
        assert code == 2, text
        assert "Traceback" not in text
        assert text.count("error: ") == 1
        return text

    return refuse


def truncate(file, by=100):
    file.write_bytes(file.read_bytes()[:-by])


def set_byte(file, position, value):
    content = bytearray(file.read_bytes())
    content[position] = value
    file.write_bytes(content)


def make_directory(file):
    file.unlink()
    file.mkdir()


PARAMS_FILES = {
    "missing": (lambda f: f.unlink(), "params.yaml not found; run this in the project's folder"),
    "empty": (lambda f: f.write_text(""), "must hold sections"),
    "a list": (lambda f: f.write_text("- 1\n"), "must hold sections"),
    "a tab": (lambda f: f.write_text("data:\n\tseed: 0\n"), "not valid YAML: line 2"),
    "a key twice": (lambda f: f.write_text("a:\n  b: 1\n  b: 2\n"), "line 3"),
    "an open bracket": (lambda f: f.write_text("data: ["), "not valid YAML"),
    "no text": (lambda f: f.write_bytes(b"\xff\xfe\x00\x01"), "cannot be read"),
    "a folder": (make_directory, "cannot be read"),
    "a section missing": (
        lambda f: f.write_text(f.read_text().split("report:")[0]), "report is missing",
    ),
    "a misspelt key": (
        lambda f: f.write_text(f.read_text().replace("  top_k:", "  topk:")),
        "evaluate.topk is not a key of params.yaml; did you mean top_k?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARAMS_FILES)
def test_params_files(said, workspace, case):
    damage, message = PARAMS_FILES[case]
    damage(workspace / "params.yaml")
    assert message in said("prepare")


BINARY_FILES = {
    "empty": (lambda d: (d / "train.bin").write_bytes(b""), "train.bin has 0 bytes"),
    "truncated": (lambda d: truncate(d / "test.bin"), "test.bin has 614,700 bytes"),
    "oversized": (
        lambda d: (d / "train.bin").write_bytes((d / "train.bin").read_bytes() + b"x"),
        "train.bin has 1,537,001 bytes, CIFAR-100's has 1,537,000; copy it again",
    ),
    "a class out of range": (
        lambda d: set_byte(d / "train.bin", 3 * 3074 + 1, 100), "class label 100 of image 3",
    ),
    "a superclass out of range": (
        lambda d: set_byte(d / "test.bin", 0, 20), "superclass label 20 of image 0",
    ),
    "names missing": (
        lambda d: (d / "fine_label_names.txt").unlink(), "fine_label_names.txt not found",
    ),
    "too few names": (
        lambda d: (d / "coarse_label_names.txt").write_text("a b"), "has 2 names, not 20",
    ),
    "a file that is a folder": (
        lambda d: make_directory(d / "train.bin"), "train.bin not found",
    ),
    "an empty folder": (
        lambda d: [f.unlink() for f in d.iterdir()], "holds neither CIFAR-100's binary layout",
    ),
    "no folder": (shutil.rmtree, "not found; name a folder or archive of CIFAR-100"),
}  # fmt: skip


@pytest.mark.parametrize("case", BINARY_FILES)
def test_files_of_the_binary_layout(said, workspace, cifar100_folder, case):
    damage, message = BINARY_FILES[case]
    damage(cifar100_folder)
    set_params(workspace, data__source="cifar100", data__path=str(cifar100_folder))
    assert message in said("prepare")
    assert not (workspace / "data/prepared").exists()


class Malicious:
    def __reduce__(self):
        return (print, ("owned",))


PYTHON_FILES = {
    "malicious": (pickle.dumps(Malicious()), "train"),
    "wrong magic": (b"hello, this is text", "train"),
    "empty": (b"", "train"),
    "truncated": (pickle.dumps({b"data": np.zeros((5, 3072), np.uint8)})[:-50], "train"),
    "another object": (pickle.dumps([1, 2, 3]), "train"),
    "another shape": (
        pickle.dumps({b"data": np.zeros((5, 99), np.uint8), b"fine_labels": [0] * 5,
                      b"coarse_labels": [0] * 5}), "(500, 3072)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PYTHON_FILES)
@pytest.mark.usefixtures("cifar100_folder")
def test_files_of_the_python_layout(said, workspace, case):
    content, message = PYTHON_FILES[case]
    folder = workspace / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(content)
    set_params(workspace, data__source="cifar100", data__path=str(folder))
    text = said("prepare")
    assert message in text
    assert "owned" not in text


def tar_of(name, content):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


ARCHIVES = {
    "wrong magic": (b"no archive at all" * 99, "cannot be read"),
    "empty": (b"", "cannot be read"),
    "truncated": (tar_of("train.bin", bytes(99_999))[:-60], "cannot be read"),
    "of something else": (tar_of("readme.txt", b"hello"), "holds neither"),
    "leaving the folder": (tar_of("../../train.bin", b"x"), "not found"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(said, workspace, case):
    content, message = ARCHIVES[case]
    (workspace / "a.tar.gz").write_bytes(content)
    set_params(workspace, data__source="cifar100", data__path="a.tar.gz")
    assert message in said("prepare")
    assert sorted(p.name for p in workspace.iterdir()) == [".dvc", "a.tar.gz", "params.yaml"]


SIZES = {
    "fewer images than classes": ({"data__limit": 5}, "data.limit = 5"),
    "no validation image for a class": (
        {"data__validation_fraction": 0.001}, "data.validation_fraction = 0.001",
    ),
    "no training image for a class": (
        {"data__validation_fraction": 0.999}, "data.validation_fraction = 0.999",
    ),
    "all images alike": ({"data__duplicate_correlation": 0.01}, "have no duplicate"),
}  # fmt: skip


@pytest.mark.parametrize("case", SIZES)
def test_splits_that_cannot_be_made(said, workspace, case):
    changes, message = SIZES[case]
    set_params(workspace, **changes)
    assert message in said("prepare")


def test_a_class_that_only_one_image_has_cannot_be_split(said, workspace, cifar100_folder):
    file = cifar100_folder / "train.bin"
    rows = np.fromfile(file, np.uint8).reshape(-1, 3074)
    seven = np.flatnonzero(rows[:, 1] == 7)
    rows[seven[1:], 1] = 8
    rows.tofile(file)
    set_params(workspace, data__source="cifar100", data__path=str(cifar100_folder))
    assert "cannot be split (The least populated class" in said("prepare")


@pytest.mark.parametrize("blocker", ["data", "data/prepared"])
def test_a_folder_that_cannot_be_written(said, workspace, blocker):
    """A file in the way: root may write everywhere, so that permissions would not tell."""
    (workspace / blocker).parent.mkdir(exist_ok=True)
    (workspace / blocker).write_text("")
    assert "check that it can be read and written" in said("prepare")


TRAINING = {
    "no prepared data": (lambda w: None, "run `dvc repro prepare`"),
    "damaged metadata": (
        lambda w: (w / "data/prepared/metadata.json").write_text("{"), "holds no prepared data",
    ),
    "truncated records": (
        lambda w: truncate(w / "data/prepared/records.npy"), "holds no prepared data",
    ),
    "records that are none": (
        lambda w: (w / "data/prepared/records.npy").write_bytes(b"x"), "holds no prepared data",
    ),
    "a batch larger than the data": (
        lambda w: set_params(w, data__limit=120, model__batch_size=200), "model.batch_size = 200",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TRAINING)
def test_trainings_that_cannot_start(said, workspace, invoke, case):
    damage, message = TRAINING[case]
    if case != "no prepared data":
        set_params(workspace, data__limit=120)
        assert invoke("prepare")[0] == 0
    damage(workspace)
    assert message in said("train model-dropblock-0")
    assert not (workspace / "mlflow.db").exists()


@pytest.mark.parametrize("label", ["model-0", "resnet-dropblock-0", "model-dropblock-x", "../a"])
def test_trainings_that_there_are_not(workspace, invoke, label):
    for command in ("train", "evaluate"):
        code, text = invoke(command, label)
        assert code == 2
        assert "is no training; give network-variant-seed" in text


RESULTS = {
    "no results": (lambda w: shutil.rmtree(w / "outputs"), "is empty; run `dvc repro`"),
    "metrics damaged": (
        lambda w: (w / "outputs/evaluation/model-dropblock-0/metrics.json").write_text("{"),
        "metrics.json cannot be read",
    ),
    "predictions truncated": (
        lambda w: truncate(w / "outputs/evaluation/model-dropblock-0/predictions.npz"),
        "predictions.npz cannot be read",
    ),
    "predictions that are a pickle": (
        lambda w: np.savez(
            w / "outputs/evaluation/model-dropblock-0/predictions.npz",
            log_probabilities=np.array([Malicious()], object),
        ),
        "predictions.npz cannot be read (Object arrays cannot be loaded",
    ),
    "masks missing": (
        lambda w: (w / "outputs/evaluation/baseline-dropblock-0/masks.npz").unlink(),
        "masks.npz cannot be read",
    ),
    "history missing": (
        lambda w: (w / "outputs/history/model-dropblock-0.csv").unlink(),
        "model-dropblock-0.csv cannot be read",
    ),
    "history empty": (
        lambda w: (w / "outputs/history/model-dropblock-0.csv").write_text(""),
        "model-dropblock-0.csv cannot be read",
    ),
    "other data": (
        lambda w: (w / "data/prepared/metadata.json").write_text(
            json.dumps({"digest": "ff" * 32})
        ),
        "belongs to other data",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RESULTS)
def test_results_that_cannot_be_reported(said, workspace, case):
    damage, message = RESULTS[case]
    write_results(workspace, seeds=[0])
    (workspace / "reports").mkdir()
    (workspace / "reports/report.md").write_text("the report of before")
    damage(workspace)
    assert message in said("report")
    assert (workspace / "reports/report.md").read_text() == "the report of before"


MODELS = {
    "missing": (lambda f: f.unlink(), "cannot be loaded"),
    "empty": (lambda f: f.write_bytes(b""), "cannot be loaded"),
    "text": (lambda f: f.write_text("hello"), "cannot be loaded"),
    "truncated": (lambda f: truncate(f, 2_000), "cannot be loaded"),
}


@pytest.mark.parametrize("case", MODELS)
def test_models_that_cannot_be_loaded(said, workspace, tiny_params, case):
    from pipeline.networks.shared.models import build_model

    damage, message = MODELS[case]
    write_results(workspace, seeds=[0])
    file = workspace / "outputs/models/model-dropblock-0/best.keras"
    file.parent.mkdir(parents=True)
    build_model("model", tiny_params.model, 10).save(file)
    damage(file)
    Image.new("RGB", (32, 32)).save(workspace / "a.png")
    assert message in said("predict --model model-dropblock-0 a.png")


def random_picture(file, size=(99, 99), **options):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(file, **options)


PICTURES = {
    "missing": (lambda f: None, "cannot be read"),
    "a folder": (lambda f: f.mkdir(), "cannot be read"),
    "empty": (lambda f: f.write_bytes(b""), "is no PNG or JPEG image"),
    "text": (lambda f: f.write_text("hello"), "is no PNG or JPEG image"),
    "a GIF": (lambda f: random_picture(f, format="GIF"), "is no PNG or JPEG image"),
    "animated": (
        lambda f: Image.new("RGB", (9, 9)).save(
            f, save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]
        ),
        "is animated",
    ),
    "truncated": (lambda f: (random_picture(f), truncate(f, 5_000)), "cannot be read"),
    "a bomb": (
        lambda f: Image.new("1", (20_000, 20_000)).save(f), "has more than 89,478,485 pixels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PICTURES)
def test_pictures_that_cannot_be_classified(said, workspace, case):
    make, message = PICTURES[case]
    make(workspace / "a.png")
    text = said("predict a.png")
    assert "a.png" in text and message in text


def test_a_cmyk_picture_is_classified(workspace, invoke, tiny_params):
    from pipeline.networks.shared.models import build_model

    write_results(workspace, seeds=[0])
    folder = workspace / "outputs/models/model-dropblock-0"
    folder.mkdir(parents=True)
    metadata = json.loads((workspace / "data/prepared/metadata.json").read_text())
    metadata["params"]["sharpen"] = True
    (workspace / "data/prepared/metadata.json").write_text(json.dumps(metadata))
    build_model("model", tiny_params.model, 10).save(folder / "best.keras")
    Image.new("CMYK", (50, 40)).save(workspace / "a.jpg")
    code, text = invoke("predict", "--model", "model-dropblock-0", "a.jpg")
    assert code == 0
    assert text.count("%") == 5
