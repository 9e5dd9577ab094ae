"""Trainings on Ray nodes that share only DVC's remote; a stand-in for DVC waits for its turn."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from pipeline.sweep.ledger import Ledger
from pipeline.sweep.pool import train_all
from pipeline.versioning.storage import local_storage
from tests.sweep.stand_in import PREPARED, made_by, start, tasks
from tests.waiting import wait_for, worker_of

pytestmark = pytest.mark.slow

STORE = 80 << 20


@contextmanager
def started():
    """Start a head without processors and two raylets with one each, and connect to them."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        made.add_node(num_cpus=1, num_gpus=0, object_store_memory=STORE)
    ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def damaged_cluster():
    """A cluster of one test's own. A process connects to one at a time: these tests come first."""
    with started() as made:
        yield made


@pytest.fixture(scope="module")
def cluster():
    """The cluster of all tests that leave it as it is."""
    with started() as made:
        yield made


def kill_worker(cluster, worker):
    worker.kill()


def kill_raylet(cluster, worker):
    worker.parent().kill()


def remove_node(cluster, worker):
    (node,) = [
        node
        for node in cluster.worker_nodes
        if node.all_processes["raylet"][0].process.pid == worker.ppid()
    ]
    cluster.remove_node(node, allow_graceful=False)


def records_of(work):
    return Ledger(local_storage(work.remote))


@pytest.mark.parametrize("fault", [kill_worker, kill_raylet, remove_node])
def test_a_lost_training_ends_there_and_goes_on_elsewhere_from_its_checkpoint(
    fault, damaged_cluster, work
):
    lost = []

    def lose():
        wait_for(work.started)
        wait_for(lambda: list(work.remote.glob("sweep/key-0/own-key/epoch-00001/state.json")))
        lost.extend(work.started())
        fault(damaged_cluster, worker_of(lost[0]))
        wait_for(lambda: not psutil.pid_exists(lost[0]))
        wait_for(lambda: len(work.started()) == 2)
        work.go()

    thread = threading.Thread(target=lose)
    thread.start()
    ((_, record),) = list(start(work, 0, place=work.elsewhere))
    thread.join()
    assert work.ended() == lost
    (second,) = set(work.started()) - set(lost)
    assert work.resumed() == [second]
    assert made_by(record) == second
    assert records_of(work).get("result-0") == record
    assert not (work.remote / "sweep/key-0").exists()  # its checkpoints


def sweep_at_once(work, *results):
    """Run a sweep for each name of a result, both training at the same time; return the records."""
    with ThreadPoolExecutor(2) as executor:
        sweeps = [
            executor.submit(list, start(work, 0, place=work.elsewhere, result=name))
            for name in results
        ]
        wait_for(lambda: len(work.started()) == 2)
        work.go()
    return [record for each in sweeps for _, record in each.result()]


def test_of_two_sweeps_at_once_the_first_result_counts_for_both(cluster, work):
    first, second = sweep_at_once(work, "result", "result")
    assert first == second == records_of(work).get("result-0")


def test_of_two_evaluations_at_once_both_are_of_the_first_training(cluster, work):
    first, second = sweep_at_once(work, "result", "other")
    records = [records_of(work).get(f"{name}-0") for name in ("result", "other")]
    assert len({made_by(record) for record in (first, second, *records)}) == 1


def test_another_evaluation_of_a_training_does_not_train_again(cluster, work):
    work.go()
    ((_, first),) = list(start(work, 0, place=work.elsewhere))
    ((_, second),) = list(start(work, 0, place=work.elsewhere, result="other"))
    assert made_by(second) == made_by(first)
    assert len(work.started()) == 1
    assert records_of(work).get("other-0") == second


def test_a_sweep_of_evaluations_trains_once(cluster, work):
    asked = [(task, PREPARED) for name in ("result", "other") for task in tasks(0, result=name)]
    outcomes = dict(train_all(asked, work.elsewhere, 1, lambda line: work.go()))
    assert {task.result for task in outcomes} == {"result-0", "other-0"}
    assert len({made_by(record) for record in outcomes.values()}) == len(work.started()) == 1


def test_a_push_that_leaves_something_out_is_done_again(cluster, work):
    (work.notes / "lossy").touch()
    work.go()
    ((_, record),) = list(start(work, 0, place=work.elsewhere))
    assert (work.notes / "was lossy").exists()
    assert len(list(work.remote.glob("files/md5/*/*"))) == 1
    assert records_of(work).get("result-0") == record
    assert len(work.started()) == 1
