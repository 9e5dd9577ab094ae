"""Check the files of DVC's cache, which DVC itself checks only when it adds them."""

import re
from pathlib import Path

from pipeline.core.files import hash_file
from pipeline.versioning.experiments import cache_folder

_NAME = re.compile(r"[0-9a-f]{30}(\.dir)?")  # others are being written


def remove_damaged() -> list[Path]:
    """Remove the files whose content does not have the MD5 that is their name; return them.

    DVC would restore a damaged file as if nothing were wrong, but makes a missing one again.
    """
    files = sorted((cache_folder() / "files" / "md5").glob("??/*"))
    damaged = [
        file for file in files
        if _NAME.fullmatch(file.name) and hash_file(file, "md5") != file.parent.name + file.stem
    ]  # fmt: skip
    for file in damaged:
        file.unlink()
    return damaged
