"""A sweep from its plan to its experiments."""

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import UserError, first_line
from pipeline.core.files import PREPARED, project_root
from pipeline.core.records import load_metadata
from pipeline.sweep import assemble, jobs
from pipeline.sweep.estimate import Asked, Estimate, estimate
from pipeline.sweep.jobs import Job
from pipeline.sweep.ledger import Ledger, Objects, Record
from pipeline.sweep.plan import Experiment, Training, digest, list_trainings, plan_experiments
from pipeline.sweep.pool import local_pool, slots, takes_gpu, train_all
from pipeline.sweep.progress import describe_plan, follow
from pipeline.sweep.snapshot import (
    Snapshot,
    find_cache,
    take_snapshot,
    unpack,
    user_environment,
)
from pipeline.sweep.task import (
    Place,
    local_ledger,
    persist,
    read_record,
    remote_ledger,
    scratch_folder,
    thread_limits,
)
from pipeline.tracking.store import open_store, store_uri, without_password
from pipeline.versioning.repository import Stages, write_lock
from pipeline.versioning.storage import Storage, local_storage, remote_storage

# A server that many machines ask at once may take its time, and is waited for.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4"}
QUESTIONS = 16  # at once to a remote
Known = dict[str, Record]  # by the result's key


@dataclass(frozen=True)
class Head:
    """Where the sweep is planned and its experiments are recorded.

    Attributes:
        root: the main repository.
        clone: one to work in.
        cache: DVC's, shared by both.
        environment: of DVC in the clone.
        prepared: dvc.lock's entries of the data, by the key of the data.
        images: how many there are to train on, by the same key.
    """

    root: Path
    clone: Path
    cache: Path
    snapshot: Snapshot
    environment: dict[str, str]
    prepared: dict[str, Stages] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)


def sweep(overrides: Sequence[str], cpus: int, dry_run: bool, cluster: str | None) -> int:
    """Train what a sweep lacks, many at a time, and record each experiment.

    Args:
        overrides: what stands behind each -S.
        cpus: processors of a training where there is no GPU.
        cluster: address of a Ray cluster's job server; None for this machine.

    Returns:
        1 where a training failed for good, else 0.

    Raises:
        UserError: a wrong override or value, no git commit, data that cannot be prepared.
    """
    root = project_root()
    if cluster:
        check_store()
        os.environ.update(PATIENCE)
    snapshot = take_snapshot(root)
    with scratch_folder(root) as scratch:
        head = Head(root, scratch / "clone", find_cache(root), snapshot, user_environment())
        unpack(snapshot, head.clone, head.cache)
        experiments = plan_experiments(snapshot, head.clone, overrides)
        todo = [e for e in experiments if not assemble.is_recorded(root, snapshot.head, e.name)]
        recorded = len(experiments) - len(todo)
        print(f"experiments: {len(experiments)}, recorded already: {recorded}")
        open_store()
        head.environment["MLFLOW_TRACKING_URI"] = store_uri()
        remote = remote_storage(head.clone) if cluster else None
        known = look_up_remote(remote, todo) if remote else {}
        prepare_data(head, todo)
        find_known(head, todo, known)
        missing = list_missing(todo, known)
        estimates = estimate_missing(head, todo, missing, known, cpus, elsewhere=bool(cluster))
        if dry_run:
            return 0
        if missing and cluster and remote:
            train_there(head, todo, missing, estimates, cluster, remote, cpus)
            known |= persist(lambda: look_up(remote_ledger(remote), Objects(remote), todo))
        elif missing:
            train_here(head, missing, estimates, known, cpus)
        code = finish(head, todo, known, pull=bool(cluster))
    print("`make experiments` lists all experiments, `make report` compares them")
    return code


def list_missing(experiments: Sequence[Experiment], known: Known) -> list[Training]:
    """Return the trainings that are to run, and say how many."""
    trainings = list_trainings(experiments)
    missing = [t for t in trainings if any(e.key not in known for e in t.evaluations)]
    done = len(trainings) - len(missing)
    print(
        f"trainings that differ: {len(trainings)}, done already: {done}, to run: {len(missing)}",
        flush=True,
    )
    return missing


def estimate_missing(
    head: Head,
    experiments: Sequence[Experiment],
    missing: Sequence[Training],
    known: Known,
    cpus: int,
    elsewhere: bool,
) -> list[Estimate]:
    """Estimate what is to run, and say it."""
    if not missing:
        return []
    asked = []
    for training in missing:
        experiment = experiment_of(training, experiments)
        images = head.images[experiment.data]
        asked.append(Asked(training.trial.network, experiment.values, images))
    environment = {**head.environment, **thread_limits(cpus)}
    estimates = estimate(asked, known.values(), head.clone, environment, elsewhere)
    print(describe_plan(missing, estimates), flush=True)
    return estimates


def experiment_of(training: Training, experiments: Iterable[Experiment]) -> Experiment:
    """Return the first experiment that asks for a training."""
    return next(e for e in experiments if e.name == training.evaluations[0].experiment)


def check_store() -> None:
    """Raise a UserError where other machines can't reach MLflow's store."""
    if store_uri().startswith("sqlite:"):
        raise UserError(
            f"MLflow's store {without_password(store_uri())} is a file of this machine; the "
            "machines of a cluster take a server, which MLFLOW_TRACKING_URI names"
        )


def prepare_data(head: Head, experiments: Iterable[Experiment]) -> None:
    """Prepare the data of each experiment, once where they are the same."""
    for experiment in experiments:
        if experiment.data not in head.prepared:
            assemble.set_params(head.clone, head.snapshot, experiment.overrides)
            head.prepared[experiment.data] = assemble.prepare_data(head.clone, head.environment)
            head.images[experiment.data] = load_metadata(head.clone / PREPARED)["images"]["train"]


def find_known(head: Head, experiments: Iterable[Experiment], known: Known) -> None:
    """Add the results in the ledger, and those that DVC's cache has, which go there too."""
    ledger = local_ledger(head.root)
    known |= look_up(ledger, Objects(local_storage(head.cache)), experiments)
    for experiment in experiments:
        unknown = [t for t, keys in experiment.keys.items() if keys.result not in known]
        assemble.set_params(head.clone, head.snapshot, experiment.overrides)
        write_lock(head.clone, head.prepared[experiment.data])  # so that DVC need not look again
        for trial in assemble.find_cached(head.clone, unknown, head.environment):
            key = experiment.keys[trial].result
            known[key] = ledger.add(key, read_record(head.clone, trial))


def look_up(ledger: Ledger, objects: Objects, experiments: Iterable[Experiment]) -> Known:
    """Return the results in a ledger; those whose files are gone are struck out."""

    def find(key: str) -> Record | None:
        record = ledger.get(key)
        if record and objects.missing(record.stages):
            ledger.remove(key)  # `dvc gc` took them
            return None
        return record

    keys = list({keys.result for e in experiments for keys in e.keys.values()})
    with ThreadPoolExecutor(QUESTIONS) as pool:
        found = zip(keys, pool.map(find, keys), strict=True)
        return {key: record for key, record in found if record}


def look_up_remote(remote: Storage, experiments: Iterable[Experiment]) -> Known:
    """Return the results in DVC's remote.

    Raises:
        UserError: it does not answer, or not to this user.
    """
    try:
        return look_up(remote_ledger(remote), Objects(remote), experiments)
    except Exception as error:  # of the network, of credentials: each storage has its own
        raise UserError(
            f"DVC's remote {remote.root} cannot be read ({first_line(error)}); check its "
            "endpointurl, that it runs, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None


def train_here(
    head: Head, missing: Sequence[Training], estimates: Sequence[Estimate], known: Known, cpus: int
) -> None:
    """Train on this machine; results are added to `known`."""
    with local_pool():
        limits = {} if takes_gpu() else thread_limits(cpus)
        ledger = f"{platform.node()}:{head.root}"
        place = Place(ledger, head.root, head.cache, {**head.environment, **limits}, takes_gpu())
        asked = [(training, Stages()) for training in missing]
        by_key = dict(zip((t.key for t in missing), estimates, strict=True))
        outcomes = train_all(asked, head.snapshot, place, cpus)
        for training, records in follow(outcomes, place, by_key, slots(cpus)):
            keys = (evaluation.key for evaluation in training.evaluations)
            known |= dict(zip(keys, records, strict=True))


def train_there(
    head: Head,
    experiments: Sequence[Experiment],
    missing: Sequence[Training],
    estimates: Sequence[Estimate],
    cluster: str,
    remote: Storage,
    cpus: int,
) -> None:
    """Train on a cluster; results go to the ledger of DVC's remote."""
    for prepared in head.prepared.values():
        if Objects(remote).missing(prepared):
            assemble.push_data(head.clone, prepared, head.environment)
    environment = {"MLFLOW_TRACKING_URI": head.environment["MLFLOW_TRACKING_URI"], **PATIENCE}
    job = Job(
        [(t, head.prepared[experiment_of(t, experiments).data]) for t in missing],
        list(estimates),
        # What is handed over can be read in Ray's dashboard: passwords take other ways.
        head.snapshot._replace(config=""),
        remote.root,
        environment,
        cpus,
    )
    whole = digest(sorted(training.key for training in list_trainings(experiments)))
    jobs.run(cluster, job, whole, head.clone)


def finish(head: Head, experiments: Sequence[Experiment], known: Known, pull: bool) -> int:
    """Record each experiment whose trainings are all done, and name the others.

    Args:
        pull: whether results are in DVC's remote only.

    Returns:
        The exit code.
    """
    lacking = []
    for experiment in experiments:
        results = [keys.result for keys in experiment.keys.values()]
        if any(key not in known for key in results):
            lacking.append(experiment.name)
            continue
        if assemble.is_recorded(head.root, head.snapshot.head, experiment.name):
            continue  # by the same sweep, which ran at the same time
        records = [known[key] for key in results]
        try:
            assemble.record_experiment(head.clone, head.root, head.snapshot, experiment, records,
                                       head.environment, pull)  # fmt: skip
        except UserError as error:
            print(error, file=sys.stderr)
            lacking.append(experiment.name)
            continue
        print(f"recorded {experiment.name}", flush=True)
    if lacking:
        names = ", ".join(lacking)
        print(f"not recorded: {names}; the same command tries again what failed", file=sys.stderr)
    return 1 if lacking else 0
