"""Run a sweep, from planning to recording its experiments."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import NamedTuple

from pipeline.core.cores import usable_cores
from pipeline.core.errors import UserError
from pipeline.core.files import project_root
from pipeline.settings.identity import digest
from pipeline.sweep import jobs
from pipeline.sweep.command import user_environment
from pipeline.sweep.estimate import count_all
from pipeline.sweep.head import Head
from pipeline.sweep.jobs import Job
from pipeline.sweep.ledger import Ledger, Record
from pipeline.sweep.plan import Point, Task, distinct, list_tasks, plan_points
from pipeline.sweep.progress import describe_plan
from pipeline.sweep.scratch import scratch_folder
from pipeline.sweep.task import Place
from pipeline.tracking.database import local_file, store_uri
from pipeline.tracking.store import open_store
from pipeline.versioning.overrides import Overrides
from pipeline.versioning.snapshot import Snapshot, take_snapshot
from pipeline.versioning.storage import remote_errors, remote_storage, with_retries

# A server with requests from many machines may be slow, so wait longer for it and send less: a
# sample of the system metrics takes two requests. At 30 s, a hundred runs send about six a second.
CLUSTER_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "30",
}
MAX_DVC = 16  # processes of DVC at once
REQUEST_THREADS = 16  # parallel requests to a remote
Known = dict[str, Record]  # by the result's key


class Swept(NamedTuple):
    """What a sweep did.

    Attributes:
        names: of all its experiments, by their overrides.
        lacking: the names of those that could not be recorded.
    """

    names: dict[Overrides, str]
    lacking: list[str]


def sweep(
    choices: Sequence[Overrides],
    cpus: int,
    dry_run: bool,
    cluster: str | None,
    snapshot: Snapshot | None = None,
) -> Swept:
    """Run the trainings that a sweep still needs, in parallel, and record each experiment.

    Args:
        choices: the -S overrides of each experiment.
        cpus: CPU cores per training, if there is no GPU.
        dry_run: only print what would be trained.
        cluster: address of a Ray cluster's job server; None: this machine.
        snapshot: of the project; by default, of now.

    Raises:
        UserError: an override or value is wrong, there is no git commit, or preparing data fails.
    """
    root = project_root()
    if cluster:
        check_cluster(cluster)
        os.environ.update(CLUSTER_ENVIRONMENT)
    with scratch_folder(root) as scratch:
        snapshot = snapshot or take_snapshot(root)
        own = {"MLFLOW_TRACKING_URI": store_uri(), "DVC_SITE_CACHE_DIR": str(scratch / "site"),
               "DVC_ROOT": str(root)}  # fmt: skip
        remote = remote_storage(root) if cluster else None
        head = Head(root, scratch, snapshot, remote, {**user_environment(), **own})
        points = plan_points(root, snapshot, choices)
        list_tasks(points)  # hashes the code now: it may be edited while data are prepared
        points = with_data(head, points, dry_run)
        names = {point.overrides: point.name for point in points}
        todo = [point for point in points if not head.is_recorded(point)]
        print(f"experiments: {len(points)}, already recorded: {len(points) - len(todo)}")
        known = find_known(head, todo)
        tasks = list_tasks(todo)
        missing = [task for task in tasks if task.result not in known]
        needed, left = ({task.weights_key for task in each} for each in (tasks, missing))
        print(f"distinct trainings: {len(needed)}, already done: {len(needed - left)}, "
              f"to run: {len(left)}", flush=True)  # fmt: skip
        pflop = count_missing(todo, missing) if missing else {}
        if dry_run or not todo:
            return Swept(names, [])
        open_store()
        if missing:
            known |= train(head, todo, missing, pflop, cluster, cpus)
        return Swept(names, finish(head, todo, known))


def check_cluster(address: str) -> None:
    """Check the addresses of a cluster's job server and of MLflow's store.

    Raises:
        UserError: one cannot be used, or would show a password.
    """
    if not address.startswith(("http://", "https://")):
        raise UserError(f"--on {address}: give the whole address, like http://127.0.0.1:8265")
    if local_file(store_uri()):
        raise UserError(
            f"MLflow's store {store_uri()} is a file on this machine; a "
            "cluster needs a server: set MLFLOW_TRACKING_URI to its address"
        )
    if "@" in store_uri():  # Ray's dashboard shows what is sent with a job
        raise UserError(
            "MLFLOW_TRACKING_URI has a user or password, which would be sent with the job; "
            "give the address alone, and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD on this machine and on the cluster's"
        )


def with_data(head: Head, points: Sequence[Point], dry_run: bool) -> list[Point]:
    """Prepare the data of the experiments, each kind once; a dry run only looks in the cache."""
    if not dry_run:
        print("preparing the data, if that was not done yet", flush=True)
    kinds = {point.data_key: point for point in points}
    data = {key: head.prepare(point, dry_run) for key, point in kinds.items()}
    return [point.with_data(data[point.data_key]) for point in points]


def find_known(head: Head, points: Sequence[Point]) -> Known:
    """Return the results that the cluster's ledger and DVC's cache have."""
    known = look_up(head, list_tasks(points)) if head.remote else {}

    def find(point: Point) -> Known:
        return head.find_cached(point, [t for t in point.tasks if t.result not in known])

    with ThreadPoolExecutor(min(MAX_DVC, usable_cores())) as executor:  # each thread runs DVC
        for found in list(executor.map(find, points)):
            known |= found
    return known


def look_up(head: Head, tasks: Sequence[Task]) -> Known:
    """Return the results that the ledger in DVC's remote has.

    Raises:
        UserError: the remote does not answer, or refuses access.
    """
    assert head.remote is not None
    ledger, keys = Ledger(head.remote), [task.result for task in tasks]
    with remote_errors(head.remote), ThreadPoolExecutor(REQUEST_THREADS) as executor:
        found = zip(keys, executor.map(lambda key: ledger.get(key), keys), strict=True)
        return {key: record for key, record in found if record}


def count_missing(points: Sequence[Point], missing: Sequence[Task]) -> dict[str, float]:
    """Print the trainings to run; return the PFLOP of each, by the result's key."""
    if any(point.data is None for point in points):
        print("\n".join(f"  {task.title}" for task in missing))
        print("  their compute is unknown until the data are prepared")
        return {}
    counted = count_all([point for point in points if set(point.tasks) & set(missing)])
    trained = distinct(missing, attrgetter("weights_key"))  # the rest are other evaluations
    pflop = {task.result: counted.get(task.result, 0.0) for task in trained}
    print(describe_plan(trained, pflop), flush=True)
    return dict.fromkeys((task.result for task in missing), 0.0) | pflop


def train(
    head: Head,
    points: Sequence[Point],
    missing: Sequence[Task],
    pflop: dict[str, float],
    cluster: str | None,
    cpus: int,
) -> Known:
    """Train on this machine or on a cluster; return the results of trainings that succeeded."""
    data = {point.name: point.data.stages for point in points if point.data}
    asked = [(task, data[task.experiment]) for task in missing]
    job = Job(asked, pflop, Place(head.root, head.snapshot, head.environment), cpus)
    if cluster is None:
        return jobs.work(job)
    # Ray's dashboard shows what is submitted, so passwords must not be part of it.
    environment = {"MLFLOW_TRACKING_URI": store_uri(), **CLUSTER_ENVIRONMENT}
    job = job._replace(place=Place(None, head.snapshot._replace(config=""), environment))
    with head.clone(points[0], {}) as clone:
        jobs.run(cluster, job, digest(sorted(task.result for task in list_tasks(points))), clone)
    return with_retries(lambda: look_up(head, missing))


def finish(head: Head, points: Sequence[Point], known: Known) -> list[str]:
    """Record each experiment whose trainings are all done; print and return the others' names."""
    lacking = [p.name for p in points if any(task.result not in known for task in p.tasks)]
    for point in [point for point in points if point.name not in lacking]:
        try:
            head.record(point, known)
        except UserError as error:
            print(error, file=sys.stderr)
            lacking.append(point.name)
        else:
            print(f"recorded {point.name}", flush=True)
    if lacking:
        names = ", ".join(lacking)
        print(f"not recorded: {names}; repeat the command to retry what failed", file=sys.stderr)
    return lacking
