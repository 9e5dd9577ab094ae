import pytest

from pipeline.sweep import checkpoints
from pipeline.sweep.checkpoints import fetch, send, shared_checkpoints
from pipeline.versioning.storage import Storage
from tests.waiting import wait_for


def save(folder, epoch, text="weights"):
    """Leave a checkpoint as a training does, keeping two."""
    target = folder / f"key/epoch-{epoch:05d}"
    target.mkdir(parents=True)
    for name in ("last.keras", "best.keras", "state.json"):
        (target / name).write_text(f"{text} {epoch}")
    (folder / "key/lock").touch()


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def whole(*epochs):
    files = ("best.keras", "last.keras", "state.json")
    return [f"key/epoch-{e:05d}/{name}" for e in epochs for name in files]


def test_another_machine_gets_the_newest_two_but_not_the_lock(storage, tmp_path):
    for epoch in (1, 2, 3):
        save(tmp_path / "here", epoch)
        send(tmp_path / "here", storage)
    send(tmp_path / "here", storage)
    fetch(tmp_path / "there", storage)
    assert names(tmp_path / "there") == whole(2, 3)
    assert (tmp_path / "there/key/epoch-00003/last.keras").read_text() == "weights 3"


def test_a_checkpoint_that_was_cut_off_on_its_way_is_sent_again(storage, tmp_path):
    save(tmp_path / "here", 1)
    send(tmp_path / "here", storage)
    cut, state = (f"{storage.root}/key/epoch-00001/{n}" for n in ("last.keras", "state.json"))
    storage.files.rm_file(cut)
    storage.files.rm_file(state)
    storage.files.pipe_file(cut, b"wei")
    send(tmp_path / "here", storage)
    assert storage.files.cat_file(cut) == b"weights 1"
    assert storage.files.exists(state)


def test_a_whole_checkpoint_of_another_machine_is_left_as_it_is(storage, tmp_path):
    for name in ("here", "there"):
        save(tmp_path / name, 1, name)
        send(tmp_path / name, storage)
    for name in ("last.keras", "state.json"):
        assert storage.files.cat_file(f"{storage.root}/key/epoch-00001/{name}") == b"here 1"


def test_where_there_is_nothing_nothing_is_fetched(storage, tmp_path):
    fetch(tmp_path / "there", storage)
    assert not (tmp_path / "there").exists()


def test_checkpoints_are_sent_while_it_trains_kept_on_failure_and_removed_at_the_end(
    storage, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoints, "POLL_SECONDS", 0.01)

    def train(folder, epoch):
        with shared_checkpoints(folder, storage):
            assert names(folder) == (whole(epoch - 1) if epoch > 1 else [])
            save(folder, epoch)
            state = f"{storage.root}/key/epoch-{epoch:05d}/state.json"
            wait_for(lambda: storage.files.invalidate_cache() or storage.files.exists(state))
            if epoch == 1:
                raise ValueError("lost")

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with pytest.raises(ValueError, match="lost"):
        train(tmp_path / "one", 1)
    train(tmp_path / "two", 2)
    storage.files.invalidate_cache()
    assert not storage.files.find(storage.root)


class Gone:
    """A storage that is away."""

    asked = 0

    def __getattr__(self, name):
        self.asked += 1
        raise OSError("connection refused")


def test_a_storage_that_is_away_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "POLL_SECONDS", 0.01)
    gone = Gone()
    with shared_checkpoints(tmp_path, Storage(gone, "bucket")):
        save(tmp_path, 1)
        wait_for(lambda: gone.asked >= 3)  # to fetch once, and to send again after a failure
    assert "key/epoch-00001/state.json" in names(tmp_path)
