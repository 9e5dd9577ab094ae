import errno
import multiprocessing

import keras
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.training import checkpoint


def small_model(value):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.set_weights([np.full((2, 1), value, np.float32)])
    return model


def weights(file):
    return float(keras.saving.load_model(file).get_weights()[0][0, 0])


def save(folder, *best):
    """Save as many epochs as flags, the weights being the epoch's number."""
    for epoch, is_best in enumerate(best, 1):
        rows = [{"epoch": i} for i in range(1, epoch + 1)]
        checkpoint.save_checkpoint(folder, small_model(epoch), rows, best=is_best)


def test_the_newest_epoch_comes_back_with_the_best_weights_so_far(tmp_path):
    save(tmp_path, True, True, False, False)
    path, rows = checkpoint.load_checkpoint(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert weights(path / "last.keras") == 4
    assert weights(path / "best.keras") == 2


def test_two_epochs_are_kept(tmp_path):
    save(tmp_path, True, True, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-00002", "epoch-00003"]


@pytest.mark.parametrize("file", ["last.keras", "best.keras", "state.json"])
@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path, capsys, file, damage):
    save(tmp_path, True, True)
    victim = tmp_path / "epoch-00002" / file
    if damage == "remove":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-20])
    path, rows = checkpoint.load_checkpoint(tmp_path)
    assert (path.name, len(rows)) == ("epoch-00001", 1)
    assert "epoch-00002 is damaged and is removed" in capsys.readouterr().err


def test_a_disk_that_refuses_to_read_costs_no_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, True, True)

    def refused(file):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "hash_file", refused)
        with pytest.raises(UserError, match=r"epoch-00002 cannot be read .*; repeat the command"):
            checkpoint.load_checkpoint(tmp_path)
    assert checkpoint.load_checkpoint(tmp_path)[0].name == "epoch-00002"


@pytest.mark.parametrize("state", ["[]", "{}", '{"rows": [], "hashes": 7}'])
def test_a_state_that_is_not_one_counts_as_damaged(tmp_path, state):
    save(tmp_path, True, True)
    (tmp_path / "epoch-00002/state.json").write_text(state)
    assert checkpoint.load_checkpoint(tmp_path)[0].name == "epoch-00001"


def test_an_epoch_that_was_changed_counts_as_damage(tmp_path):
    save(tmp_path, True, True)
    state = tmp_path / "epoch-00002/state.json"
    state.write_text(state.read_text().replace('"epoch": 2', '"epoch": 3'))
    assert checkpoint.load_checkpoint(tmp_path)[0].name == "epoch-00001"


def test_a_save_cut_off_midway_counts_for_nothing(tmp_path):
    save(tmp_path, True)
    partial = tmp_path / "partial-00002"
    partial.mkdir()
    (partial / "last.keras").write_bytes(b"half")
    assert checkpoint.load_checkpoint(tmp_path)[0].name == "epoch-00001"
    checkpoint.save_checkpoint(tmp_path, small_model(2), [{}, {}], best=True)
    assert not partial.exists()


def test_no_checkpoint_is_no_error(tmp_path):
    assert checkpoint.load_checkpoint(tmp_path) is None


def test_a_folder_is_discarded_unless_somebody_trains_in_it(tmp_path):
    with checkpoint.training_folder(tmp_path, "key") as folder:
        save(folder, True)
        checkpoint.discard_checkpoints(tmp_path, "key")
        assert checkpoint.load_checkpoint(folder)
    checkpoint.discard_checkpoints(tmp_path, "key")
    assert not folder.exists()
    checkpoint.discard_checkpoints(tmp_path, "another")


def hold(root, held, release):
    with checkpoint.training_folder(root, "key"):
        held.set()
        release.wait(30)


@pytest.mark.slow
def test_two_processes_never_train_the_same(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, release))
    process.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(UserError, match="already running in another process"),
            checkpoint.training_folder(tmp_path, "key"),
        ):
            pass
    finally:
        release.set()
        process.join()
    with checkpoint.training_folder(tmp_path, "key") as folder:
        assert folder.is_dir()
