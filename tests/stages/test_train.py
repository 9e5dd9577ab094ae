import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pipeline.core.errors import UserError
from pipeline.core.files import work_folder
from pipeline.settings.trainings import Training, load_facts
from pipeline.stages.prepare import prepare
from pipeline.stages.train import (
    PACKAGE,
    Training,
    open_run,
    place_among_all,
    seconds_per_epoch,
    train,
)
from pipeline.training import checkpoint, loop
from tests.conftest import with_train

TRAINING = Training("model", "dropblock", 0)


def changed(training, section, **values):
    params = training.params
    section_values = getattr(params, section).model_copy(update=values)
    changed_params = params.model_copy(update={section: section_values})
    return Training(changed_params, training.training, training.prepared)


def test_a_run_is_named_for_people(training):
    assert training.name == "resnet block=5 seed=0"
    ablation = Training(
        training.params, TRAINING._replace(variant="nodrop", seed=2), training.prepared
    )
    assert ablation.name == "resnet without DropBlock seed=2"
    assert ablation.recipe.conv_keep_end == 1.0
    switched_off = changed(training, "model", conv_keep_step=0.0, conv_keep_end=1.0)
    assert switched_off.name == "resnet without DropBlock seed=0"
    units = Training(training.params, TRAINING._replace(variant="unitdrop"), training.prepared)
    assert units.name == "resnet single units seed=0"
    skipless = changed(training, "model", skip_connections=False)
    assert skipless.name == "resnet without skips block=5 seed=0"


def test_the_key_changes_with_all_that_decides_the_outcome(training, monkeypatch, tmp_path):
    others = [
        changed(training, "model", learning_rate=0.5),
        changed(training, "augment", flip_probability=0.5),
        changed(training, "train", clip_norm=1.0),
        Training(training.params, TRAINING._replace(seed=1), training.prepared),
        Training(training.params, Training("baseline", "dropblock", 0), training.prepared),
    ]
    keys = {training.key(), *(other.key() for other in others)}
    assert len(keys) == 1 + len(others)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.stages.train.versions", lambda: {"keras": "0.0"})
        assert training.key() not in keys
    with monkeypatch.context() as patch:
        package = shutil.copytree(PACKAGE, tmp_path / "pipeline")
        patch.setattr("pipeline.stages.train.PACKAGE", package)
        assert training.key() in keys
        with (package / "training/losses.py").open("a") as code:
            code.write("# another\n")
        assert training.key() not in keys
    training.prepared.metadata["digest"] = "f00d"
    assert training.key() not in keys


def test_a_training_takes_the_split_of_its_seed(training, tiny_params):
    prepare(tiny_params.data.model_copy(update={"split_by_seed": True}))
    held_out = [
        Training.of(training.params, Training(network, "dropblock", seed)).prepared["val"]
        for network in ("baseline", "model")
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(held_out[0], held_out[2])  # paired across the networks
    assert (held_out[0]["image"] != held_out[1]["image"]).any()


def test_the_key_does_not_change_with_what_does_not(training):
    same = [
        changed(
            training, "train", seeds=[0, 1], variants=["dropblock", "nodrop"], networks=["model"]
        ),
        changed(training, "baseline", learning_rate=0.5),
        changed(training, "report", figure_dpi=200),
    ]
    assert {training.key()} == {other.key() for other in same}


def test_a_training_leaves_weights_history_and_facts(training, store):
    train(training)
    facts = json.loads(TRAINING.facts_file.read_text())
    assert facts["digest"] == training.prepared.digest
    assert facts["name"] == "resnet block=5 seed=0"
    assert facts["parameters"] > 1000
    assert {"last.keras", "best.keras"} == {file.name for file in TRAINING.models_folder.iterdir()}
    assert len(TRAINING.history_file.read_text().splitlines()) == 1 + training.recipe.epochs
    run = store.get_run(facts["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["training.key"] == training.key()
    source = "python -m pipeline train resnet-dropblock-0 (workspace-no-git, no commit)"
    assert run.data.tags["mlflow.source.name"] == source
    described = run.data.tags["mlflow.note.content"].splitlines()
    assert [line.split(":")[0] for line in described[:3]] == ["- Data", "- Network", "- Training"]
    assert described[-1].startswith("[Report](#/experiments/1/runs/")
    assert "" not in run.data.tags.values()
    assert run.data.params["data.sharpen"] == "True"
    assert run.data.params["flops"] == str(facts["flops"])


def test_a_kill_before_dvc_has_recorded_the_outputs_costs_nothing(
    training, store, workspace, monkeypatch
):
    train(training)
    history, facts = TRAINING.history_file.read_bytes(), load_facts(TRAINING, training.digest)
    weights = (TRAINING.models_folder / "best.keras").read_bytes()
    shutil.rmtree(workspace / "outputs")  # as DVC does before it runs the stage again
    monkeypatch.setattr("keras.Model.fit", lambda *_, **__: pytest.fail("it was trained again"))
    train(training)
    assert TRAINING.history_file.read_bytes() == history
    assert (TRAINING.models_folder / "best.keras").read_bytes() == weights
    assert load_facts(TRAINING, training.digest)["run_id"] == facts["run_id"]
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert [m.step for m in store.get_metric_history(run.info.run_id, "val_loss")] == [1, 2]
    checkpoint.discard_checkpoints(workspace / ".training", facts["training_key"])
    assert not [path for path in (workspace / ".training").iterdir() if path.is_dir()]


@pytest.mark.parametrize("content", ["", "{}", '{"run'])
def test_a_note_of_the_open_run_that_was_cut_off_is_no_obstacle(training, store, content):
    folder = work_folder() / training.key()
    folder.mkdir()
    (folder / "open_run.json").write_text(content)
    with open_run(training, folder) as run:
        pass
    assert json.loads((folder / "open_run.json").read_text()) == {"run_id": run.run_id}


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "allocating")]
)
def test_too_little_memory_fails_the_run_with_the_way_out(training, store, monkeypatch, error):
    def allocate_too_much(*args, **kwargs):
        raise error

    monkeypatch.setattr(loop.Trainer, "fit", allocate_too_much)
    with pytest.raises(UserError, match=r"out of memory with model.batch_size = 50 and model.wid"):
        train(training)
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FAILED"
    assert run.data.tags["end_reason"].startswith("UserError: out of memory")


def test_a_disk_that_is_full_is_named_with_the_epoch_to_go_on_from(training, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.training.checkpoint.save_checkpoint", full)
    with pytest.raises(UserError, match=r"epoch 1 cannot be saved .* goes on after epoch 0"):
        train(training)


def test_a_batch_larger_than_the_data_is_refused(training):
    with pytest.raises(UserError, match=r"model.batch_size = 500: there are only"):
        train(changed(training, "model", batch_size=500))


def test_networks_not_trained_decide_nothing(training):
    alone = with_train(training.params, networks=["model"])
    assert Training(alone, TRAINING, training.prepared).key() == training.key()


def test_a_run_says_which_of_how_many_trainings_it_is_at(training, store, capsys):
    several = Training(
        with_train(training.params, seeds=[0, 1]), training.training, training.prepared
    )
    assert place_among_all(several).place == "training 1 of 4"
    train(several)
    assert "training 1 of 4: resnet block=5 seed=0, " in capsys.readouterr().out
    second = Training(several.params, TRAINING._replace(seed=1), several.prepared)
    assert place_among_all(second).place == "training 2 of 4"
    assert several.is_done()
    assert not second.is_done()
    assert not changed(several, "augment", flip_probability=0.5).is_done()
    assert set(seconds_per_epoch(several.params.trainings)) == {"model"}
