from pipeline.settings.trainings import Training
from pipeline.sweep.estimate import Estimate
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.progress import SweepProgress, describe_plan
from pipeline.sweep.task import TrainingFailedError


def task(seed):
    training = Training("model", "dropblock", seed)
    return Task(f"key-{seed}", f"result-{seed}", training, "block-3-abc", ())


def test_the_plan_names_each_training_its_compute_and_the_sum():
    said = describe_plan([task(0), task(1)], [Estimate(1.5, 60), Estimate(2.5, 30)])
    assert "resnet-dropblock-0 of block-3-abc: 1.5 PFLOP, about 60 s" in said
    assert said.endswith("together 4 PFLOP, one after the other about 2 min")


def test_what_cannot_be_estimated_is_said_so():
    said = describe_plan([task(0), task(1)], [Estimate(0.0, 20), Estimate(1.5, 60)])
    assert "resnet-dropblock-0 of block-3-abc: cannot be estimated\n" in said


def test_the_time_left_is_that_of_the_longest_or_of_all_over_the_slots():
    shown = SweepProgress({str(i): Estimate(1, 20) for i in range(4)}, slots=2)
    assert shown.left() == "about 40 s left"
    shown.advance("0", "one", 40)  # twice as slow as estimated, whatever else has not ended yet
    assert shown.left() == "about 60 s left"
    shown.advance("1", "two")  # failed at once, which is no pace
    assert shown.left() == "about 40 s left"
    assert (
        SweepProgress({"a": Estimate(1, 50), "b": Estimate(1, 10)}, slots=2).left()
        == "about 50 s left"
    )


def test_on_machines_of_unknown_speed_the_first_end_tells_how_long_the_others_take():
    estimates = {"a": Estimate(1.0, None), "b": Estimate(3.0, None), "c": Estimate(1.0, 50)}
    said = describe_plan([task(i) for i in range(3)], list(estimates.values()))
    assert "resnet-dropblock-0 of block-3-abc: 1 PFLOP\n" in said
    assert said.endswith("together 5 PFLOP")
    shown = SweepProgress(estimates, slots=1)
    assert shown.left() == "how long shows when one has ended"
    shown.advance("a", "one", 30)
    assert shown.left() == "about 2 min left"  # 4 PFLOP


def test_each_end_is_said_failures_with_their_last_lines(capsys):
    record = Record("model-dropblock-0", 1.0, 2.0, {})
    ended = [(task(0), record), (task(1), TrainingFailedError("loss is nan"))]
    estimates = {each.result: Estimate(1, 10) for each, _ in ended}
    shown = SweepProgress(estimates, 2)
    assert shown.follow(each for each in ended) == {"result-0": record}
    said = capsys.readouterr().out
    assert "[1/2] resnet-dropblock-0 of block-3-abc, about" in said
    assert "[2/2] resnet-dropblock-1 of block-3-abc failed:\nloss is nan\n, all done" in said
