"""Whole sweeps in clones of a project, and what they leave behind."""

from tests.conftest import run_name, runs_of

BLOCKS = ["-S", "model.drop_block_size=1,3"]
DETERMINISTIC = ["-S", "train.deterministic=true"]
ALONE = ["-S", "train.networks=[model]", *DETERMINISTIC]
EXACT = {"train.deterministic": True}
RESNET = run_name(**EXACT)
RESNETS = [run_name(**EXACT, **{"model.drop_block_size": size}) for size in (1, 3)]


def sweep(project, *arguments, check=True):
    return project.run("python", "-m", "pipeline", "sweep", *arguments, check=check)


def experiments(project):
    listed = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    return {name.rsplit("-", 1)[0]: name for name in listed}


def assert_one_finished_run_each(project, names, killed=False):
    """Without others; `killed`: but those that were cut off before their first checkpoint."""
    client, runs = runs_of(project)
    if killed:
        runs = [run for run in runs if run.info.status != "KILLED"]
    assert sorted(run.info.run_name for run in runs) == sorted(names)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        steps = [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")]
        assert steps == [1, 2]
        assert {a.path for a in client.list_artifacts(run.info.run_id)} >= {"figures"}
