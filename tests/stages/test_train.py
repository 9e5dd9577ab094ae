import json
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.core.files import hash_file
from pipeline.networks import model
from pipeline.settings.trainings import Training, load_facts
from pipeline.stages import train as stage
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.tracking.runs import HISTORY, TRAINING, TrackedRun
from pipeline.training import checkpoint, loop
from tests.conftest import checked
from tests.stages.conftest import SMALL

TRAINED = Training("model", "dropblock", 0)


def run(setup):
    return train(setup.params, setup.training)


def changed(setup, **changes):
    return replace(setup, params=checked(**{**SMALL, **changes}))


def steps(store, run_id):
    return [m.step for m in store.get_metric_history(run_id, "val_loss")]


def folders(workspace):
    """The checkpoint folders."""
    return [path for path in (workspace / ".training").iterdir() if path.is_dir()]


def test_a_training_takes_the_split_of_its_seed(setup, monkeypatch):
    asked = changed(setup, **{"data.split_by_seed": True})
    prepare(asked.params)
    taken = []

    def take(prepared, *_):
        taken.append(prepared["val"]["image"].tobytes())
        raise UserError("enough")

    monkeypatch.setattr(stage, "start_or_resume", lambda asked, _: take(asked.prepared))
    for network in ("baseline", "model"):
        for seed in (0, 1):
            with pytest.raises(UserError, match="enough"):
                train(asked.params, Training(network, "dropblock", seed))
    assert taken[:2] == taken[2:]  # paired across the networks
    assert taken[0] != taken[1]


def test_a_training_leaves_weights_history_and_facts(setup, store):
    assert run(setup) == f"{setup.name}: trained 2 of 2 epochs"
    facts = json.loads(TRAINED.facts_file.read_text())
    assert facts["digest"] == setup.prepared.digest
    assert (facts["name"], facts["training"]) == (setup.name, setup.identity)
    assert facts["parameters"] > 1000 and facts["pflop"] > 0
    last = max(Path(".training").rglob("epoch-*"))
    assert datetime.fromisoformat(facts["ended"]).timestamp() == int(last.stat().st_mtime)
    assert {"last.keras", "best.keras"} == {file.name for file in TRAINED.models_folder.iterdir()}
    last_network = keras.saving.load_model(TRAINED.models_folder / "last.keras")
    assert not last_network.compiled  # nothing reads its optimizer, which is large
    assert len(TRAINED.history_file.read_text().splitlines()) == 1 + setup.recipe.epochs
    (tracked,) = store.search_runs(["1"])
    assert tracked.info.status == "FINISHED"
    assert tracked.info.run_id not in TRAINED.facts_file.read_text()
    tags = tracked.data.tags
    assert tags[TRAINING] == setup.identity
    assert tags[HISTORY] == hash_file(TRAINED.history_file)
    assert tags["mlflow.source.name"] == "python -m pipeline train resnet-dropblock-0"
    described = tags["mlflow.note.content"].splitlines()
    assert [line.split(":")[0] for line in described[:3]] == ["- Data", "- Network", "- Training"]
    assert described[-1].startswith("[Report](#/experiments/1/runs/")
    assert "" not in tags.values()
    assert tracked.data.params["data.sharpen"] == "True"
    assert tracked.data.params["flops"] == str(facts["flops"])
    assert tracked.data.params["conv_keep_end"] == "0.95"


@pytest.mark.slow
def test_a_kill_before_dvc_has_recorded_the_outputs_costs_nothing(
    setup, store, workspace, monkeypatch
):
    run(setup)
    history, facts = TRAINED.history_file.read_bytes(), load_facts(TRAINED, setup.prepared.digest)
    weights = (TRAINED.models_folder / "best.keras").read_bytes()
    shutil.rmtree(workspace / "outputs")  # as DVC does before it runs the stage again
    monkeypatch.setattr("keras.Model.fit", lambda *_, **__: pytest.fail("it was trained again"))
    run(setup)
    assert TRAINED.history_file.read_bytes() == history
    assert (TRAINED.models_folder / "best.keras").read_bytes() == weights
    assert load_facts(TRAINED, setup.prepared.digest) == facts
    (tracked,) = store.search_runs(["1"])
    assert tracked.info.status == "FINISHED"
    assert steps(store, tracked.info.run_id) == [1, 2]
    checkpoint.discard_checkpoints(workspace / ".training", facts["training"])
    assert not folders(workspace)


@pytest.fixture
def cut_off(setup, store, monkeypatch):
    """A run that was interrupted after its first epoch; the checkpoint is there."""
    describe = stage.describe_epoch

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "describe_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(setup)
    monkeypatch.setattr(stage, "describe_epoch", describe)
    (tracked,) = store.search_runs(["1"])
    assert (tracked.info.status, steps(store, tracked.info.run_id)) == ("KILLED", [1])
    return tracked.info.run_id


def test_a_training_that_was_cut_off_goes_on_in_its_run(setup, store, cut_off, capsys):
    run(setup)
    assert "resuming after epoch 1, from " in capsys.readouterr().out
    (tracked,) = store.search_runs(["1"])
    assert (tracked.info.run_id, tracked.info.status) == (cut_off, "FINISHED")
    assert "end_reason" not in tracked.data.tags
    assert steps(store, cut_off) == [1, 2]


@pytest.mark.slow
def test_without_its_checkpoint_a_training_begins_again_in_a_run_of_its_own(
    setup, store, workspace, cut_off
):
    shutil.rmtree(workspace / ".training")
    run(setup)
    new, old = store.search_runs(["1"])
    assert (old.info.run_id, old.info.status) == (cut_off, "KILLED")
    assert (new.info.status, steps(store, new.info.run_id)) == ("FINISHED", [1, 2])


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "allocating")]
)
def test_too_little_memory_fails_the_run_with_the_way_out(setup, store, monkeypatch, error):
    def allocate_too_much(*args, **kwargs):
        raise error

    monkeypatch.setattr(loop.Trainer, "fit", allocate_too_much)
    with pytest.raises(UserError, match=r"out of memory with model.batch_size = 50; use a smaller"):
        run(setup)
    (tracked,) = store.search_runs(["1"])
    assert tracked.info.status == "FAILED"
    assert tracked.data.tags["end_reason"].startswith("UserError: out of memory")


def test_a_disk_that_is_full_is_named_with_the_epoch_to_go_on_from(setup, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.training.checkpoint.save_checkpoint", full)
    with pytest.raises(UserError, match=r"epoch 1 cannot be saved .* resumes after epoch 0"):
        run(setup)


@pytest.mark.slow
def test_a_store_that_is_away_at_the_end_costs_a_warning(setup, monkeypatch, capsys):
    set_tags = TrackedRun.set_tags

    def away(tracked, tags):
        if HISTORY in tags:
            raise MlflowException("503 Service Unavailable")
        set_tags(tracked, tags)

    monkeypatch.setattr(TrackedRun, "set_tags", away)
    run(setup)
    assert "503 Service Unavailable); `publish` will recreate the run" in capsys.readouterr().err
    assert TRAINED.facts_file.exists()


def test_a_new_network_adapts_to_the_training_images_and_a_resumed_one_has_done_so(
    setup, monkeypatch, tmp_path
):
    given = []
    network = replace(model.NETWORK, adapt=lambda _, images: given.append(images))
    monkeypatch.setattr(model, "NETWORK", network)
    built, _ = stage.start_or_resume(setup, tmp_path)
    built.optimizer.build(built.trainable_variables)
    checkpoint.save_checkpoint(tmp_path, built, [{"epoch": 1}], best=True)
    stage.start_or_resume(setup, tmp_path)
    (images,) = given
    np.testing.assert_array_equal(images, setup.prepared["train"]["image"])


@pytest.fixture
def float32_again():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("float32_again")
def test_a_training_resumed_where_auto_means_another_precision_keeps_its_own(setup, tmp_path):
    begun = changed(setup, **{"train.precision": "mixed_bfloat16"})
    built, _ = stage.start_or_resume(begun, tmp_path)
    built.optimizer.build(built.trainable_variables)
    checkpoint.save_checkpoint(tmp_path, built, [{"epoch": 1}], best=True)
    here = changed(setup, **{"train.precision": "float32"})
    resumed, _ = stage.start_or_resume(here, tmp_path)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert stage.collect_facts(here, resumed)["precision"] == "mixed_bfloat16"


def test_the_time_left_counts_the_pixels_of_the_epochs_to_come():
    sizes = [20, 20, 20, 40]
    rows = [
        {"seconds": seconds, "image_size": 20, "train_accuracy": 0.5, "train_loss": 1.0}
        for seconds in (500.0, 60.0, 60.0)
    ]
    assert stage.describe_epoch(rows, 0, sizes, None).endswith("; 60 s, about 4 min left")
