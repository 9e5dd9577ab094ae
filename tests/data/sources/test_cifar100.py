import io
import os
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.data.sources import cifar100
from tests.conftest import CIFAR100, checked, needs_cifar100, poke, truncate


def load(path):
    return cifar100.load(checked(**{"data.path": str(path.resolve())}).data)


def test_cifar100_binary_records_become_images_and_labels(cifar100_folder):
    raw = np.fromfile(cifar100_folder / "test.bin", np.uint8).reshape(-1, 3074)
    dataset = load(cifar100_folder)
    assert (len(dataset.train), len(dataset.test)) == (500, 200)
    record = dataset.test[7]
    assert (record["superclass"], record["label"]) == tuple(raw[7, :2])
    for channel in range(3):
        for row, column in [(0, 0), (0, 31), (31, 0), (13, 22)]:
            byte = raw[7, 2 + 1024 * channel + 32 * row + column]
            assert dataset.images[record["row"], row, column, channel] == byte
    assert dataset.class_names[3] == "class03"
    assert dataset.superclass_names[3] == "super03"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "train.bin").unlink(), "binary: train.bin not found; copy"),
        (lambda f: (f / "train.bin").write_bytes(b""), "train.bin has 0 bytes, .* copy it again"),
        (lambda f: truncate(f / "test.bin", 1), "test.bin has 614,799 bytes"),
        (lambda f: truncate(f / "test.bin", -3074), "test.bin has 617,874 bytes"),
        (lambda f: poke(f / "test.bin", 3074 * 5 + 1, 100), "class label 100 of image 5"),
        (lambda f: poke(f / "test.bin", 3074 * 9, 20), "superclass label 20 of image 9"),
        (lambda f: (f / "fine_label_names.txt").unlink(), "fine_label_names.txt not found"),
        (lambda f: (f / "coarse_label_names.txt").write_text("fish\n"), "has 1 names"),
    ],
)
def test_damaged_cifar100_files_are_refused(cifar100_folder, damage, message):
    damage(cifar100_folder)
    with pytest.raises(UserError, match=message):
        load(cifar100_folder)


@pytest.fixture
def python_files(cifar100_folder):
    """The same images in the python layout, the entries as Python 2 left them."""
    dataset = load(cifar100_folder)
    files = {
        name: {
            b"data": dataset.images[records["row"]].transpose(0, 3, 1, 2).reshape(len(records), -1),
            b"fine_labels": records["label"].tolist(),
            b"coarse_labels": records["superclass"].tolist(),
            b"filenames": [b"some_name.png"] * len(records),
        }
        for name, records in [("train", dataset.train), ("test", dataset.test)]
    }
    files["meta"] = {
        b"fine_label_names": [name.encode() for name in dataset.class_names],
        b"coarse_label_names": [name.encode() for name in dataset.superclass_names],
    }
    return files


def write_python_layout(folder, files, protocol=2):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    return folder


def assert_same(one, other):
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.test, other.test)
    assert one.class_names == other.class_names
    assert one.superclass_names == other.superclass_names


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_the_python_layout_gives_the_same_data_as_the_binary_one(
    cifar100_folder, python_files, tmp_path, protocol
):
    folder = write_python_layout(tmp_path / "python", python_files, protocol)
    assert_same(load(folder), load(cifar100_folder))


def test_a_folder_may_hold_the_archives_folder(cifar100_folder, python_files, tmp_path):
    write_python_layout(tmp_path / "a/cifar-100-python", python_files)
    assert_same(load(tmp_path / "a"), load(cifar100_folder))
    assert_same(load(cifar100_folder.parent), load(cifar100_folder))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("layout", ["binary", "python"])
def test_an_archive_of_either_layout_gives_the_same_data(
    cifar100_folder, python_files, tmp_path, layout, mode
):
    folder = cifar100_folder
    if layout == "python":
        folder = write_python_layout(tmp_path / "python", python_files)
    with tarfile.open(tmp_path / "archive", mode) as archive:
        archive.add(folder, f"cifar-100-{layout}")
    assert_same(load(tmp_path / "archive"), load(cifar100_folder))


def test_members_that_point_out_of_the_folder_are_never_written(cifar100_folder, tmp_path):
    """Names with .. and absolute ones are only read; links in place of files are left out."""
    outside = tmp_path / "outside"
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        for name in ("../escaped.txt", f"{outside}/absolute.txt", "../../fine_label_names.txt"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-100-binary/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name in ("test.bin", "fine_label_names.txt", "coarse_label_names.txt"):
            archive.add(cifar100_folder / name, f"cifar-100-binary/{name}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"train.bin not found"):
        load(tmp_path / "archive.tar")
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_a_member_far_too_large_is_not_read_into_memory(tmp_path):
    member = tarfile.TarInfo("cifar-100-python/train")
    member.size = 10**12
    (tmp_path / "bomb.tar").write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(UserError, match="more than 400,000,000 bytes in all"):
        load(tmp_path / "bomb.tar")


def changed(key, value, file="train"):
    def change(files):
        files[file][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(b"fine_labels", [0] * 499), r"train: fine_labels is an array of int64 \(499,\)"),
        (changed(b"fine_labels", ["x"] * 500), "fine_labels is an array of <U1"),
        (changed(b"fine_labels", [[0]] * 499 + [[0, 1]]), "fine_labels is an array of float64"),
        (changed(b"fine_labels", [0] * 499 + [100]), "class label 100 of image 499 is not in"),
        (changed(b"coarse_labels", [-1] * 500), "superclass label -1 of image 0 is not in 0 to"),
        (changed(b"data", np.zeros((500, 3072), int)), "data has the type int64, not uint8"),
        (changed(b"data", np.zeros((500, 3071), np.uint8)), r"data is an array of uint8 \(500, 30"),
        (changed(b"fine_label_names", [b"x"], "meta"), "fine_label_names is not a list of 100"),
        (changed(b"coarse_label_names", 7, "meta"), "coarse_label_names is not a list of 20"),
        (lambda files: files["test"].pop(b"data"), "test: no entry data; this is not a file"),
        (lambda files: files.update(meta=[1]), "meta: no entry coarse_label_names"),
        (lambda files: files.pop("test"), "test not found; copy CIFAR-100 again"),
    ],
)
def test_a_python_layout_with_wrong_content_is_refused(python_files, tmp_path, change, message):
    change(python_files)
    with pytest.raises(UserError, match=message):
        load(write_python_layout(tmp_path / "python", python_files))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "not found; give a folder or archive of CIFAR-100, or set data.path"),
        (lambda path: path.mkdir(), "has neither CIFAR-100's binary layout .* contains: nothing"),
        (lambda path: path.write_bytes(b""), "not a tar archive"),
        (lambda path: path.write_bytes(b"no archive at all" * 99), "not a tar archive"),
        (lambda path: tarfile.open(path, "w").close(), "has neither"),
    ],
)
def test_a_path_that_is_no_cifar100_is_refused(tmp_path, make, message):
    make(tmp_path / "path")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "path")


def test_an_archive_whose_files_are_too_large_in_all_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.data.cifar.MAX_ARCHIVE_BYTES", 3_000)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        for _ in range(4):
            member = tarfile.TarInfo("readme")
            member.size = 1_000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(UserError, match="more than 3,000 bytes in all"):
        load(tmp_path / "bomb.tar.gz")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        load(tmp_path / "pipe")


def test_a_truncated_archive_is_refused(cifar100_folder, tmp_path):
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as archive:
        archive.add(cifar100_folder, "cifar-100-binary")
    whole = (tmp_path / "whole.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut.tar.gz: cannot be read .* copy it again"):
        load(tmp_path / "cut.tar.gz")


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_flipped_bit_of_a_compressed_archive_never_gives_other_data(
    cifar100_folder, tmp_path, monkeypatch, mode
):
    few = replace(cifar100.CIFAR100, train_images=8, test_images=4)
    monkeypatch.setattr(cifar100, "CIFAR100", few)
    os.truncate(cifar100_folder / "train.bin", 8 * 3074)
    os.truncate(cifar100_folder / "test.bin", 4 * 3074)
    right, archive = load(cifar100_folder), tmp_path / "archive"
    with tarfile.open(archive, mode) as opened:
        opened.add(cifar100_folder, "cifar-100-binary")
    whole = archive.read_bytes()
    assert_same(load(archive), right)
    refused = 0
    for bit in np.random.default_rng(0).integers(len(whole) * 8, size=80):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        archive.write_bytes(damaged)
        try:
            assert_same(load(archive), right)  # some bits, like those of a date, change nothing
        except UserError as error:
            assert "archive: cannot be read" in str(error) or "or damaged" in str(error)
            refused += 1
    assert refused > 70


@needs_cifar100
def test_the_real_cifar100_has_500_training_and_100_test_images_of_each_class():
    dataset = load(CIFAR100)
    assert (np.bincount(dataset.train["label"]) == 500).all()
    assert (np.bincount(dataset.test["label"]) == 100).all()
    assert (np.bincount(dataset.test["superclass"]) == 500).all()
    assert dataset.class_names[0] == "apple"
    assert dataset.superclass_names[0] == "aquatic_mammals"
