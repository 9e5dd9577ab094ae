from pipeline.settings.trainings import Training
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.progress import SweepProgress, describe_plan
from pipeline.sweep.task import TrainingFailedError


def task(seed):
    training = Training("model", "dropblock", seed)
    return Task(f"key-{seed}", f"result-{seed}", training, "block-3-abc", ())


def follow(pflop, slots, *outcomes):
    """Follow trainings that took so many seconds, or failed with a message."""
    ended = (
        (task(i), Record("model-dropblock-0", each, {}) if isinstance(each, float) else each)
        for i, each in enumerate(outcomes)
    )
    by_result = {f"result-{i}": value for i, value in enumerate(pflop)}
    return SweepProgress(by_result, slots).follow(ended)


def test_the_plan_names_each_training_its_compute_and_the_sum():
    said = describe_plan([task(0), task(1)], {"result-0": 1.5, "result-1": 0.0})
    assert "resnet-dropblock-0 of block-3-abc: 1.5 PFLOP\n" in said
    assert "resnet-dropblock-1 of block-3-abc: cannot be estimated\n" in said
    assert said.endswith("in total: 1.5 PFLOP")


def test_the_time_left_is_that_of_the_longest_or_of_all_over_the_slots(capsys):
    assert "time left: unknown until" in SweepProgress({"a": 1.0}, slots=1).left()
    # A training that failed at once says nothing about speed.
    follow([1, 1, 1, 5], 2, 40.0, TrainingFailedError("x"), 40.0, 100.0)
    said = [line.rpartition(", ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in said if line.endswith(("left", "done"))] == [
        "about 3 min left", "about 3 min left", "about 3 min left", "all done"
    ]  # fmt: skip


def test_each_end_is_said_failures_with_their_last_lines(capsys):
    good = follow([1, 1], 2, 2.0, TrainingFailedError("loss is nan"))
    assert list(good) == ["result-0"]
    said = capsys.readouterr().out
    assert "[1/2] resnet-dropblock-0 of block-3-abc, about" in said
    assert "[2/2] resnet-dropblock-1 of block-3-abc failed:\nloss is nan\n, all done" in said
