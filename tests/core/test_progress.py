import pytest

from pipeline.core.progress import Progress, duration


class Clock:
    """Goes on when told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def lines(told, clock, seconds):
    """Return what is said after epochs that take so many seconds each."""
    said = []
    for epoch, taken in enumerate(seconds, 1):
        clock.now += taken
        said.append(told.after_epoch(epoch))
    return said


def test_the_time_left_is_that_of_this_training_and_of_those_to_come(clock):
    waiting = [("model", 5), ("baseline", 4), ("third", 7)]
    told = Progress(3, 6, "model", 10, waiting, {"baseline": 30.0, "model": 1.0}, clock)
    assert told.place == "training 3 of 6"
    # The first epoch is no measure: 8 more epochs and 5 of the next at 60 s, 4 at 30 s.
    assert lines(told, clock, [500, 60]) == [
        None, "training 3 of 6, about 15 min left and 1 more, of a network not timed yet",
    ]  # fmt: skip


def test_it_is_said_once_a_minute_and_not_at_the_end(clock):
    told = Progress(1, 1, "model", 6, [], {}, clock)
    said = lines(told, clock, [9, 20, 20, 20, 20, 70])
    assert [line is not None for line in said] == [False, True, False, False, True, False]
    assert said[1] == "training 1 of 1, about 80 s left"


def test_a_resumed_training_measures_anew(clock):
    told = Progress(1, 1, "model", 20, [], {}, clock)
    clock.now += 50
    assert told.after_epoch(11) is None
    clock.now += 10
    assert told.after_epoch(12) == "training 1 of 1, about 80 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5_400, "90 min"), (5_401, "1.5 h")],
)
def test_durations_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said
