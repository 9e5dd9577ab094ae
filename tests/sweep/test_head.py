import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.git import git
from pipeline.sweep.command import run_dvc, user_environment
from pipeline.sweep.head import Head
from pipeline.sweep.plan import plan_points
from pipeline.sweep.scratch import scratch_folder
from pipeline.versioning.overrides import expand
from pipeline.versioning.repository import write_lock
from pipeline.versioning.snapshot import take_snapshot
from pipeline.versioning.storage import remote_storage


def test_a_remote_with_a_relative_path_is_refused_for_a_cluster(project, monkeypatch):
    """A clone reads it from its own folder, where nobody would find what a worker pushed."""
    (project.parent / "store").mkdir()
    config = project / ".dvc/config"
    core = config.read_text().replace("[core]", "[core]\n    remote = store")
    config.write_text(f"{core}\n['remote \"store\"']\n    url = ../../store\n")
    git(project, "commit", "-qam", "remote")
    (point,) = plan_points(project, take_snapshot(project), expand([]))
    with scratch_folder(project) as scratch:
        environment = {**user_environment(), "DVC_ROOT": str(project)}
        remote = remote_storage(project)
        head = Head(project, scratch, take_snapshot(project), remote, environment)
        monkeypatch.setattr(Head, "_run", lambda *_, **__: None)
        monkeypatch.setattr("pipeline.sweep.head.read_lock", lambda _: {"prepare": {}})
        with pytest.raises(UserError, match="remote has a relative path"):
            head.prepare(point, dry_run=False)


def save_images(seed):
    images = np.random.default_rng(seed).integers(0, 256, (40, 32, 32, 3), np.uint8)
    labels = np.arange(40) % 2
    arrays = {"x_train": images[:30], "y_train": labels[:30]}
    np.savez("data/mine.npz", **arrays, x_test=images[30:], y_test=labels[30:])


@pytest.mark.slow
def test_data_of_a_relative_path_are_prepared_in_a_clone(project):
    """And if other pictures were there in between, those of the workspace are taken."""
    (project / "data").mkdir()
    save_images(0)
    assert git(project, "status", "--porcelain") == ""  # a clone does not have it
    (point,) = plan_points(
        project, take_snapshot(project), expand(["data.source=npz", "data.path=data/mine.npz"])
    )
    with scratch_folder(project) as scratch:
        environment = {**user_environment(), "DVC_ROOT": str(project)}
        head = Head(project, scratch, take_snapshot(project), None, environment)
        data = head.prepare(point, dry_run=False)
        assert (data.classes, data.images) == (2, 27)
        save_images(1)
        with head.clone(point, {}) as clone:
            run_dvc(clone, "", "repro", "--force", "prepare", environment=environment)
        assert head.prepare(point, dry_run=False).digest != data.digest
        write_lock(project, data.stages)
        assert head.prepare(point, dry_run=True) == head.prepare(point, dry_run=False) == data
