import hashlib

import pytest

from pipeline.commands.doctor import describe_damaged
from pipeline.versioning import cache
from tests.conftest import poke, truncate


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files and a folder's list in a cache, by content."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    found = {}
    for content, suffix in ((b"one", ""), (b"two", ""), (b"three", ""), (b"[]", ".dir")):
        name = hashlib.md5(content).hexdigest() + suffix
        found[content] = tmp_path / "files/md5" / name[:2] / name[2:]
        found[content].parent.mkdir(parents=True)
        found[content].write_bytes(content)
    return found


def test_damaged_files_are_removed_from_the_cache_and_others_left(files):
    unfinished = files[b"one"].with_name("being-written.tmp")
    unfinished.write_bytes(b"o")
    assert cache.remove_damaged() == []
    poke(files[b"two"], 0, 0)
    truncate(files[b"[]"], 1)
    damaged = sorted([files[b"two"], files[b"[]"]])
    assert cache.remove_damaged() == damaged
    assert [file.exists() for file in files.values()] == [True, False, True, False]
    assert unfinished.exists()
    assert cache.remove_damaged() == []
    (said,) = describe_damaged(damaged)
    assert said.startswith(f"removed {damaged[0]} and 1 more from DVC's cache: ")
