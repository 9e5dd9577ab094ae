import pytest

from pipeline.commands import lookup as module
from pipeline.core.errors import UserError
from pipeline.reporting.experiments import TrackedResult
from pipeline.settings.trainings import Training
from pipeline.tracking.lifecycle import tracked_run


@pytest.fixture
def results(store, monkeypatch):
    """A result of the workspace whose run is in the store, and one of an experiment without."""
    with tracked_run("one", {}) as run:
        pass
    found = [
        TrackedResult("workspace", "", Training("model", "dropblock", 0), run.run_id),
        TrackedResult("block-7", "abc1234", Training("baseline", "nodrop", 1), "f00d" * 8),
    ]
    monkeypatch.setattr(module, "list_results", lambda: found)
    return found


def test_each_result_stands_with_its_run_and_its_status(results):
    table = module.lookup(None)
    assert list(table["network"]) == ["resnet", "baseline"]
    assert list(table["status"]) == ["FINISHED", "not in this store"]


@pytest.mark.parametrize("name", ["block-7", "abc1234", "abc1234567", "f00df00d"])
def test_a_name_a_revision_or_the_start_of_a_run_find_it(results, name):
    assert list(module.lookup(name)["experiment"]) == ["block-7"]


def test_a_run_leads_back_to_its_experiment(results):
    assert list(module.lookup(results[0].run_id)["experiment"]) == ["workspace"]


def test_what_is_not_there_is_said_with_the_way_out(results, monkeypatch):
    with pytest.raises(UserError, match="no result of nothing; `dvc exp list`"):
        module.lookup("nothing")
    monkeypatch.setattr(module, "list_results", list)
    with pytest.raises(UserError, match="no results yet; run `dvc repro`"):
        module.lookup(None)
