"""What is to be trained, as a job: done here, or handed to a Ray cluster, followed, stopped."""

import logging
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import requests
from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from pipeline.core.errors import UserError, first_line, run_command, warn
from pipeline.core.files import NEEDS_GPU
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.pool import pool, slots, takes_gpu, train_all
from pipeline.sweep.progress import SweepProgress
from pipeline.sweep.task import Place, thread_limits
from pipeline.versioning.repository import Stages

FILE = "sweep.pickle"
TAG = "sweep"  # of a job's metadata: which trainings it is for
LOOK = 1.0  # seconds between two looks at the job
ABSENT = 120.0  # seconds for which the head may not answer
# What the client raises: of Ray's server, of a token that is missing or wrong, of the network.
NO_ANSWER = (RuntimeError, RayError, requests.RequestException)


class Job(NamedTuple):
    """What is to be trained.

    Attributes:
        tasks: each with dvc.lock's entry of its data.
        pflop: of each, by the key of the result.
        cpus: processors of a training where there is no GPU.
    """

    tasks: list[tuple[Task, Stages]]
    pflop: dict[str, float]
    place: Place
    cpus: int


def work(job: Job) -> dict[str, Record]:
    """Train on this machine, or on the cluster that runs this process as a job.

    Returns:
        The results of the trainings that ended well, by their keys.
    """
    with pool(job.cpus, cluster=job.place.root is None):
        gpu, room = takes_gpu(), slots(job.cpus)
        own = {NEEDS_GPU: "1"} if gpu else thread_limits(job.cpus)
        place = job.place._replace(environment={**job.place.environment, **own})
        progress = SweepProgress(job.pflop, room)
        each = "a GPU each" if gpu else "on processors"
        print(f"{room} at a time, {each}, {progress.left()}", flush=True)
        return progress.follow(train_all(job.tasks, place, job.cpus, progress.say))


def run(address: str, job: Job, tag: str, code: Path) -> None:
    """Have a cluster train, and say what it says; on Ctrl-C the job is stopped.

    A job with the same tag that still runs, after a lost connection, is taken up.

    Args:
        address: of the job server, like http://127.0.0.1:8265.
        tag: names what the sweep is for, whatever of it is done already.
        code: the folder whose `pipeline` runs there.

    Raises:
        UserError: the cluster cannot be reached, or is lost on the way.
    """
    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        client = JobSubmissionClient(address)
        same = (each for each in client.list_jobs() if (each.metadata or {}).get(TAG) == tag)
        running = [each.submission_id for each in same if not each.status.is_terminal()]
        name = running[0] if running else _submit(client, job, code, tag)
    except (ConnectionError, *NO_ANSWER) as error:
        said = f"--on {address}: the cluster's job server: {first_line(error)}"
        raise UserError(said) from None
    print(f"job {name} on {address}", flush=True)
    try:
        _follow(client, name)
    except KeyboardInterrupt:
        _stop(client, name)
        raise


def _submit(client: JobSubmissionClient, job: Job, code: Path, tag: str) -> str:
    deadline = time.monotonic() + ABSENT
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(code / "pipeline", Path(folder) / "pipeline")
        (Path(folder) / FILE).write_bytes(pickle.dumps(job))
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
            status, said = client.get_job_status(name), client.get_job_logs(name)
            answered = time.monotonic()
        except NO_ANSWER as error:
            forgotten = isinstance(error, RuntimeError) and "404" in str(error)
            if forgotten or time.monotonic() - answered > ABSENT:
                lost = f"the cluster has lost job {name} ({first_line(error)})"
                raise UserError(f"{lost}; once it answers, the same command goes on") from None
        else:
            print(said[shown:], end="", flush=True)
            shown = len(said)
            if status.is_terminal():
                if status != JobStatus.SUCCEEDED:
                    print(f"job {name}: {status.value}", file=sys.stderr)
                return
        time.sleep(LOOK)


def _stop(client: JobSubmissionClient, name: str) -> None:
    """Stop a job and wait for its end, or say that the head does not answer."""
    deadline = time.monotonic() + ABSENT
    try:
        client.stop_job(name)
        while not client.get_job_status(name).is_terminal() and time.monotonic() < deadline:
            time.sleep(LOOK)
    except NO_ANSWER as error:
        warn(f"the cluster does not answer ({first_line(error)}); `ray job stop {name}` ends it")


def main(file: Path) -> None:
    """Do the job of a file, on the cluster that runs this process."""
    job: Job = pickle.loads(file.read_bytes())
    os.environ.update(job.place.environment)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Ray unpacks the job's folder anew for each raylet, for a second one of this machine too.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        work(job)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(Path(sys.argv[1]))))
