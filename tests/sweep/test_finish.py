from types import SimpleNamespace

from pipeline.core.errors import UserError
from pipeline.sweep.run import finish


class Recorder:
    """A head that cannot record; what `there` names is recorded by another sweep meanwhile."""

    def __init__(self, there):
        self.is_recorded = lambda point: point.name in there

    def record(self, point, known):
        raise UserError(f"{point.name} cannot be recorded: git failed")


def test_what_another_sweep_recorded_meanwhile_counts_and_what_nobody_did_is_named(capsys):
    points = [SimpleNamespace(name=name, tasks=[]) for name in ("block-1", "block-3")]
    assert finish(Recorder({"block-1"}), points, {}) == ["block-3"]
    said = capsys.readouterr()
    assert said.out == "recorded block-1\n"
    assert said.err.splitlines() == [
        "block-3 cannot be recorded: git failed",
        "not recorded: block-3; repeat the command to retry what failed",
    ]
    assert finish(Recorder({"block-1", "block-3"}), points, {}) == []
