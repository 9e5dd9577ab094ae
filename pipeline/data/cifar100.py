"""CIFAR-100 in either official layout, from a folder, an archive or a download.

Layouts: https://www.cs.toronto.edu/~kriz/cifar.html. An archive is read in memory and never
unpacked, so that a malicious archive cannot write files anywhere.
"""

import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.records import IMAGE_SIZE, Dataset, make_records
from pipeline.data.download import download
from pipeline.data.safe_pickle import load_pickle

CLASSES, SUPERCLASSES = 100, 20
PIXELS = IMAGE_SIZE * IMAGE_SIZE
RECORD_BYTES = 2 + 3 * PIXELS
TRAIN_IMAGES, TEST_IMAGES = 50_000, 10_000

BINARY_FILES = ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")
PYTHON_FILES = ("train", "test", "meta")
LAYOUTS = {"cifar-100-binary": BINARY_FILES, "cifar-100-python": PYTHON_FILES}
LARGEST_MEMBER = 200_000_000  # bytes; the largest genuine one, the training pickle, has 155 million

ARCHIVE = "cifar-100-python.tar.gz"
ARCHIVE_BYTES = 169_001_437
ARCHIVE_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"


def load_cifar100(path: Path | None, url: str, downloads: Path) -> Dataset:
    """Load CIFAR-100.

    Args:
        path: a folder or tar archive in the binary or the python layout, or a folder that contains
            the official archive's folder. None: download the official archive.
        url: where to download the official archive in the python layout.
        downloads: the folder in which it is kept.

    Raises:
        UserError: files are missing or damaged, labels are out of range, or the download fails.
    """
    if path is None:
        path = download(url, downloads / ARCHIVE, ARCHIVE_BYTES, ARCHIVE_MD5)
    files = _open(path)
    return _load_binary(files, path) if "train.bin" in files else _load_python(files, path)


def _open(path: Path) -> Mapping[str, bytes]:
    """Return the contents of the files of the layout at `path`, by file name."""
    try:
        if path.is_dir():
            return _read_folder(path)
        return _read_archive(path)
    except FileNotFoundError:
        raise UserError(
            f"data.path = {path}: not found; give a folder or archive of CIFAR-100, or set "
            "data.path to null to download it"
        ) from None
    except tarfile.ReadError:
        raise UserError(
            f"data.path = {path}: not a tar archive, or damaged; give a folder or archive of "
            "CIFAR-100"
        ) from None
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"data.path = {path}: cannot be read ({error}); copy it again") from None


def _read_folder(path: Path) -> Mapping[str, bytes]:
    for folder in (path, *(path / name for name in LAYOUTS)):
        found = {name for names in LAYOUTS.values() for name in names if (folder / name).is_file()}
        if found:
            return {name: (folder / name).read_bytes() for name in _complete_layout(found, folder)}
    raise _no_layout(path, sorted(file.name for file in path.iterdir()))


def _read_archive(path: Path) -> Mapping[str, bytes]:
    """Read the members with the file names of a layout, whatever their folder in the archive."""
    wanted = {name for names in LAYOUTS.values() for name in names}
    files: dict[str, bytes] = {}
    members: list[str] = []
    with tarfile.open(path) as archive:
        for member in archive:
            members.append(member.name)
            name = PurePosixPath(member.name).name
            if name not in wanted or not member.isfile():
                continue
            if member.size > LARGEST_MEMBER:
                raise UserError(
                    f"{path}: {member.name} has {member.size:,} bytes, more than any file of "
                    "CIFAR-100; this is a different archive"
                )
            opened = archive.extractfile(member)
            files[name] = opened.read() if opened else b""
    if not files:
        raise _no_layout(path, members)
    return {name: files[name] for name in _complete_layout(set(files), path)}


def _complete_layout(found: set[str], where: Path) -> tuple[str, ...]:
    """Return the file names of the layout that most of `found` belong to, if all are there."""
    names = max(LAYOUTS.values(), key=lambda names: len(found & set(names)) / len(names))
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{where}: {', '.join(missing)} not found; copy CIFAR-100 again")
    return names


def _no_layout(path: Path, found: list[str]) -> UserError:
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    return UserError(
        f"data.path = {path}: has neither CIFAR-100's binary layout ({', '.join(BINARY_FILES)}) "
        f"nor its python layout ({', '.join(PYTHON_FILES)}); it contains: {shown or 'nothing'}"
    )


def _load_binary(files: Mapping[str, bytes], path: Path) -> Dataset:
    """Decode the binary layout.

    An image is 3,074 bytes: superclass, class, then 1,024 red, green and blue bytes, row-major.
    """
    return Dataset(
        train=_decode_binary(files["train.bin"], TRAIN_IMAGES, f"{path}: train.bin"),
        test=_decode_binary(files["test.bin"], TEST_IMAGES, f"{path}: test.bin"),
        class_names=_decode_names(files, "fine_label_names.txt", CLASSES, path),
        superclass_names=_decode_names(files, "coarse_label_names.txt", SUPERCLASSES, path),
    )


def _decode_binary(content: bytes, count: int, where: str) -> np.ndarray:
    if len(content) != count * RECORD_BYTES:
        raise UserError(
            f"{where} has {len(content):,} bytes, not {count * RECORD_BYTES:,} as in CIFAR-100; "
            "copy it again"
        )
    rows = np.frombuffer(content, np.uint8).reshape(count, RECORD_BYTES)
    return _decode(rows[:, 2:], rows[:, 1], rows[:, 0], where)


def _decode(
    pixels: np.ndarray, labels: np.ndarray, superclasses: np.ndarray, where: str
) -> np.ndarray:
    """Make records of (n, 3072) pixels, channel by channel; check that the labels are in range."""
    _check_labels(superclasses, SUPERCLASSES, f"{where}: superclass")
    _check_labels(labels, CLASSES, f"{where}: class")
    images = pixels.reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE).transpose(0, 2, 3, 1)
    return make_records(images, labels, superclasses)


def _check_labels(labels: np.ndarray, count: int, what: str) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if wrong.size:
        raise UserError(
            f"{what} label {labels[wrong[0]]} of image {wrong[0]} is not in 0 to {count - 1}; "
            "the file is damaged, copy it again"
        )


def _decode_names(files: Mapping[str, bytes], file: str, count: int, path: Path) -> list[str]:
    names = files[file].decode("utf-8", errors="replace").split()
    if len(names) != count:
        raise UserError(f"{path}: {file} has {len(names)} names, not {count}; copy it again")
    return names


def _load_python(files: Mapping[str, bytes], path: Path) -> Dataset:
    """Decode the python layout: pickled dictionaries with byte strings as keys."""
    train, test, meta = (load_pickle(files[name], f"{path}: {name}") for name in PYTHON_FILES)
    return Dataset(
        train=_decode_python(train, TRAIN_IMAGES, f"{path}: train"),
        test=_decode_python(test, TEST_IMAGES, f"{path}: test"),
        class_names=_python_names(meta, "fine_label_names", CLASSES, f"{path}: meta"),
        superclass_names=_python_names(meta, "coarse_label_names", SUPERCLASSES, f"{path}: meta"),
    )


def _decode_python(content: object, count: int, where: str) -> np.ndarray:
    pixels = _array(content, "data", (count, 3 * PIXELS), where)
    labels = _array(content, "fine_labels", (count,), where)
    superclasses = _array(content, "coarse_labels", (count,), where)
    if pixels.dtype != np.uint8:
        raise UserError(f"{where}: data has the type {pixels.dtype}, not uint8; copy it again")
    return _decode(pixels, labels, superclasses, where)


def _array(content: object, key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return an entry as an integer array of the given shape."""
    try:
        array = np.asarray(_entry(content, key, where))
    except ValueError:
        array = np.empty(0)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise UserError(
            f"{where}: {key} is an array of {array.dtype} {array.shape}, not of integers "
            f"{shape} as in CIFAR-100; copy it again"
        )
    return array


def _entry(content: object, key: str, where: str) -> object:
    """Return an entry of a dictionary whose keys are bytes (as published) or text."""
    if isinstance(content, dict):
        for name in (key.encode(), key):
            if name in content:
                return content[name]
    raise UserError(f"{where}: no entry {key}; this is not a file of CIFAR-100's python layout")


def _python_names(meta: object, key: str, count: int, where: str) -> list[str]:
    names = _entry(meta, key, where)
    if not isinstance(names, list) or len(names) != count:
        raise UserError(f"{where}: {key} is not a list of {count} names; copy it again")
    return [n.decode("utf-8", errors="replace") if isinstance(n, bytes) else str(n) for n in names]
