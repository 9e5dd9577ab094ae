"""A sweep as a job of a Ray cluster: handed over, followed, taken up again, stopped."""

import hashlib
import logging
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import requests
from ray.job_submission import JobStatus, JobSubmissionClient

from pipeline.core.errors import UserError, run_command
from pipeline.sweep.estimate import Estimate
from pipeline.sweep.ledger import Stages
from pipeline.sweep.plan import Training
from pipeline.sweep.pool import cluster_pool, slots, takes_gpu, train_all
from pipeline.sweep.progress import follow
from pipeline.sweep.snapshot import Snapshot
from pipeline.sweep.task import Place, thread_limits

FILE = "sweep.pickle"
TAG = "sweep"  # of a job's metadata: which trainings it is for
LOOK = 1.0  # seconds between two looks at the job
ABSENT = 120.0  # seconds for which the head may not answer


class Job(NamedTuple):
    """What a cluster is asked for.

    Attributes:
        trainings: each with dvc.lock's entry of its data, which are in DVC's remote.
        environment: of each training, beside that of its machine.
        cpus: processors of a training where there is no GPU.
    """

    trainings: list[tuple[Training, Stages]]
    estimates: list[Estimate]
    snapshot: Snapshot
    environment: dict[str, str]
    cpus: int


def run(address: str, job: Job, code: Path) -> None:
    """Have a cluster train, and say what it says; on Ctrl-C the job is stopped.

    A job for the same trainings that still runs, after a lost connection, is taken up.

    Args:
        address: of the job server, like http://127.0.0.1:8265.
        code: the folder whose `pipeline` runs there.

    Raises:
        UserError: the cluster cannot be reached, or is lost on the way.
    """
    logging.getLogger("ray").setLevel(logging.WARNING)
    keys = sorted(training.key for training, _ in job.trainings)
    tag = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
    try:
        client = JobSubmissionClient(address)
        running = [
            each.submission_id
            for each in client.list_jobs()
            if (each.metadata or {}).get(TAG) == tag and not each.status.is_terminal()
        ]
        name = running[0] if running else _submit(client, job, code, tag)
    except (ConnectionError, RuntimeError, requests.RequestException) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--on {address}: the cluster's job server: {reason}") from None
    print(f"job {name} on {address}", flush=True)
    try:
        _follow(client, name)
    except KeyboardInterrupt:
        client.stop_job(name)
        while not client.get_job_status(name).is_terminal():
            time.sleep(LOOK)
        raise


def _submit(client: JobSubmissionClient, job: Job, code: Path, tag: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(code / "pipeline", Path(folder) / "pipeline")
        (Path(folder) / FILE).write_bytes(pickle.dumps(job))
        deadline = time.monotonic() + ABSENT
        while True:
            try:
                return client.submit_job(
                    entrypoint=f"python -m pipeline.sweep.jobs {FILE}",
                    runtime_env={"working_dir": folder},
                    metadata={TAG: tag},
                )
            except RuntimeError:  # a head that has just started takes none yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK)


def _follow(client: JobSubmissionClient, name: str) -> None:
    """Print what a job says until it has ended."""
    shown, answered = 0, time.monotonic()
    while True:
        try:
            status = client.get_job_status(name)
            said = client.get_job_logs(name)
            answered = time.monotonic()
        except (RuntimeError, requests.RequestException) as error:
            forgotten = isinstance(error, RuntimeError) and "404" in str(error)
            if forgotten or time.monotonic() - answered > ABSENT:
                raise UserError(
                    f"the cluster has lost job {name} ({str(error).splitlines()[0]}); once it "
                    "answers, the same command goes on"
                ) from None
            time.sleep(LOOK)
            continue
        sys.stdout.write(said[shown:])
        sys.stdout.flush()
        shown = len(said)
        if status.is_terminal():
            if status != JobStatus.SUCCEEDED:
                print(f"job {name}: {status.value}", file=sys.stderr)
            return
        time.sleep(LOOK)


def work(file: Path) -> None:
    """Train what a job asks for, on the cluster that runs this process."""
    job: Job = pickle.loads(file.read_bytes())
    os.environ.update(job.environment)
    signal.signal(signal.SIGTERM, _interrupt)
    estimates = {t.key: e for (t, _), e in zip(job.trainings, job.estimates, strict=True)}
    # Ray unpacks the job's folder anew for each raylet, for a second one of this machine too.
    with tempfile.TemporaryDirectory() as folder, cluster_pool():
        os.chdir(folder)
        limits = {} if takes_gpu() else thread_limits(job.cpus)
        place = Place(None, None, {**job.environment, **limits})
        follow(train_all(job.trainings, job.snapshot, place, job.cpus), estimates, slots(job.cpus))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run_command(lambda: work(Path(sys.argv[1]))))
