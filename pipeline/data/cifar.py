"""CIFAR-10 and CIFAR-100 in either official layout, from a folder, an archive or a download.

Layouts: https://www.cs.toronto.edu/~kriz/cifar.html. An archive is read in memory and never
unpacked, so that a malicious archive cannot write files anywhere.
"""

import lzma
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.core.errors import UserError, and_more
from pipeline.core.files import project_root
from pipeline.core.records import CHANNELS, Dataset, make_records
from pipeline.core.sections import DataParams
from pipeline.data.download import download
from pipeline.data.safe_pickle import load_pickle
from pipeline.data.sources import check_labels, data_path

SIDE = 32
PIXEL_BYTES = CHANNELS * SIDE * SIDE
MAX_ARCHIVE_BYTES = 400_000_000  # bytes of all members; the genuine ones have 186 million
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Labels:
    """A kind of label, and what its entries and files are called.

    Attributes:
        what: for error messages.
        count: of different labels.
        key, names_key: of labels and names in the python layout.
        names_file: of the binary layout.
    """

    what: str
    count: int
    key: str
    names_key: str
    names_file: str


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets, and what is in its files.

    Attributes:
        url, archive_bytes, archive_md5: the official archive in the python layout.
        folders: the archives' folders, in the binary and in the python layout.
        train, test: the names of the files with images, to which the binary layout adds .bin.
        train_images, test_images: how many images there are.
        meta: the python layout's file with the names of the labels.
        labels: in the order in which they precede an image in the binary layout; the last one is
            the class, one before it the superclass.
    """

    name: str
    url: str
    archive_bytes: int
    archive_md5: str
    folders: tuple[str, str]
    train: tuple[str, ...]
    test: str
    train_images: int
    test_images: int
    meta: str
    labels: tuple[Labels, ...]

    @property
    def layouts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The files of the binary layout, and those of the python layout."""
        images = (f"{name}.bin" for name in (*self.train, self.test))
        names = (each.names_file for each in self.labels)
        return (*images, *names), (*self.train, self.test, self.meta)

    @property
    def images(self) -> dict[str, int]:
        """How many images each file has, without .bin."""
        each = self.train_images // len(self.train)
        return {**dict.fromkeys(self.train, each), self.test: self.test_images}


def load_cifar(cifar: Cifar, params: DataParams) -> Dataset:
    """Load CIFAR-10 or CIFAR-100.

    data.path is a folder or tar archive in the binary or the python layout, or a folder that
    contains the official archive's folder. null: download the official archive.

    Raises:
        UserError: files are missing or damaged, labels are out of range, or the download fails.
    """
    path = data_path(params)
    if path is None:
        archive = project_root() / "data" / cifar.url.rpartition("/")[2]
        path = download(cifar.url, archive, cifar.archive_bytes, cifar.archive_md5)
    files = _open(cifar, path)
    decode = _decode_binary if f"{cifar.test}.bin" in files else _decode_python
    return decode(cifar, files, path)


def _open(cifar: Cifar, path: Path) -> Files:
    """Return the contents of the files of the layout at `path`, by file name."""
    try:
        if path.is_dir():
            return _read_folder(cifar, path)
        if path.exists() and not path.is_file():  # reading a pipe or a device may never end
            raise UserError(f"data.path = {path}: neither a file nor a folder")
        return _read_archive(cifar, path)
    except FileNotFoundError:
        raise UserError(
            f"data.path = {path}: not found; give a folder or archive of {cifar.name}, or set "
            "data.path to null to download it"
        ) from None
    except tarfile.ReadError:
        raise UserError(
            f"data.path = {path}: not a tar archive, or damaged; give a folder or archive of "
            f"{cifar.name}"
        ) from None
    except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"data.path = {path}: cannot be read ({error}); copy it again") from None


def _read_folder(cifar: Cifar, path: Path) -> Files:
    for folder in (path, *(path / name for name in cifar.folders)):
        found = {name for names in cifar.layouts for name in names if (folder / name).is_file()}
        if found:
            complete = _complete_layout(cifar, found, folder)
            return {name: (folder / name).read_bytes() for name in complete}
    raise _no_layout(cifar, path, sorted(file.name for file in path.iterdir()))


def _read_archive(cifar: Cifar, path: Path) -> Files:
    """Read the members with the file names of a layout, whatever their folder in the archive."""
    wanted = {name for names in cifar.layouts for name in names}
    files: dict[str, bytes] = {}
    members: list[str] = []
    size = 0
    with tarfile.open(path) as archive:
        for member in archive:
            members.append(member.name)
            size += member.size
            if size > MAX_ARCHIVE_BYTES:
                raise UserError(
                    f"{path}: its files have more than {MAX_ARCHIVE_BYTES:,} bytes in all, more "
                    f"than those of {cifar.name}; this is a different archive"
                )
            name = PurePosixPath(member.name).name
            if name not in wanted or not member.isfile():
                continue
            opened = archive.extractfile(member)
            files[name] = opened.read() if opened else b""
        # tarfile stops at its end marker; the checksum of a compressed archive comes after that.
        while archive.fileobj and archive.fileobj.read(1 << 20):
            pass
    if not files:
        raise _no_layout(cifar, path, members)
    return {name: files[name] for name in _complete_layout(cifar, set(files), path)}


def _complete_layout(cifar: Cifar, found: set[str], where: Path) -> tuple[str, ...]:
    """Return the file names of the layout that most of `found` belong to, if all are there."""
    names = max(cifar.layouts, key=lambda names: len(found & set(names)) / len(names))
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{where}: {', '.join(missing)} not found; copy {cifar.name} again")
    return names


def _no_layout(cifar: Cifar, path: Path, found: list[str]) -> UserError:
    binary, python = (", ".join(names) for names in cifar.layouts)
    return UserError(
        f"data.path = {path}: has neither {cifar.name}'s binary layout ({binary}) nor its python "
        f"layout ({python}); it contains: {and_more(found, shown=5) or 'nothing'}"
    )


def _decode_binary(cifar: Cifar, files: Files, path: Path) -> Dataset:
    """Decode the binary layout.

    An image is a byte per kind of label, then 1,024 red, green and blue bytes, row-major.
    """
    size, pixels, labels = len(cifar.labels) + PIXEL_BYTES, [], []
    for name, count in cifar.images.items():
        content, where = files[f"{name}.bin"], f"{path}: {name}.bin"
        if len(content) != count * size:
            raise UserError(
                f"{where} has {len(content):,} bytes, not {count * size:,} as in {cifar.name}; "
                "copy it again"
            )
        rows = np.frombuffer(content, np.uint8).reshape(count, size)
        pixels.append(rows[:, len(cifar.labels) :])
        labels.append(rows[:, : len(cifar.labels)].T)
        _check_labels(cifar, labels[-1], where)
    names = [_binary_names(files, each, path) for each in cifar.labels]
    return _make_dataset(cifar, pixels, labels, names)


def _binary_names(files: Files, labels: Labels, path: Path) -> list[str]:
    names = files[labels.names_file].decode("utf-8", errors="replace").split()
    if len(names) != labels.count:
        raise UserError(
            f"{path}: {labels.names_file} has {len(names)} names, not {labels.count}; copy it again"
        )
    return names


def _decode_python(cifar: Cifar, files: Files, path: Path) -> Dataset:
    """Decode the python layout: pickled dictionaries with byte strings as keys."""
    pixels, labels = [], []
    for name, count in cifar.images.items():
        where = f"{path}: {name}"
        content = load_pickle(files[name], where)
        pixels.append(_array(cifar, content, "data", (count, PIXEL_BYTES), where))
        if pixels[-1].dtype != np.uint8:
            raise UserError(
                f"{where}: data has the type {pixels[-1].dtype}, not uint8; copy it again"
            )
        labels.append(
            np.stack([_array(cifar, content, each.key, (count,), where) for each in cifar.labels])
        )
        _check_labels(cifar, labels[-1], where)
    where = f"{path}: {cifar.meta}"
    meta = load_pickle(files[cifar.meta], where)
    names = [_python_names(cifar, meta, each, where) for each in cifar.labels]
    return _make_dataset(cifar, pixels, labels, names)


def _array(
    cifar: Cifar, content: object, key: str, shape: tuple[int, ...], where: str
) -> np.ndarray:
    """Return an entry as an integer array of the given shape."""
    try:
        array = np.asarray(_entry(cifar, content, key, where))
    except ValueError:
        array = np.empty(0)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise UserError(
            f"{where}: {key} is an array of {array.dtype} {array.shape}, not of integers "
            f"{shape} as in {cifar.name}; copy it again"
        )
    return array


def _entry(cifar: Cifar, content: object, key: str, where: str) -> object:
    """Return an entry of a dictionary whose keys are bytes (as published) or text."""
    if isinstance(content, dict):
        for name in (key.encode(), key):
            if name in content:
                return content[name]
    raise UserError(f"{where}: no entry {key}; this is not a file of {cifar.name}'s python layout")


def _python_names(cifar: Cifar, meta: object, labels: Labels, where: str) -> list[str]:
    key, count = labels.names_key, labels.count
    names = _entry(cifar, meta, key, where)
    if not isinstance(names, list) or len(names) != count:
        raise UserError(f"{where}: {key} is not a list of {count} names; copy it again")
    return [n.decode("utf-8", errors="replace") if isinstance(n, bytes) else str(n) for n in names]


def _check_labels(cifar: Cifar, found: np.ndarray, where: str) -> None:
    """Check that the (kinds, n) labels are in range."""
    for labels, kind in zip(found, cifar.labels, strict=True):
        way_out = "the file is damaged, copy it again"
        check_labels(labels, kind.count, f"{where}: {kind.what}", way_out)


def _make_dataset(
    cifar: Cifar, pixels: list[np.ndarray], labels: list[np.ndarray], names: list[list[str]]
) -> Dataset:
    """Join the files' (n, 3072) pixels, channel by channel, and their (kinds, n) labels."""
    images = np.empty((sum(map(len, pixels)), SIDE, SIDE, CHANNELS), np.uint8)
    planes = [rows.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1) for rows in pixels]
    np.concatenate(planes, out=images)
    superclasses, classes = np.concatenate(labels, axis=1)[[0, -1]]
    train, test = np.split(
        make_records(classes, len(names[-1]), superclasses), [cifar.train_images]
    )
    return Dataset(images, train, test, class_names=names[-1], superclass_names=names[0])
