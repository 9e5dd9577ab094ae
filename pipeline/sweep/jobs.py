"""Run a sweep's trainings as a job: on this machine, or on a Ray cluster."""

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
TAG = "sweep"  # key of the job's metadata that identifies its trainings
POLL_SECONDS = 1.0  # between checks of the job
LOG_SECONDS = 10.0  # between requests of its output, which Ray always sends from the beginning
HEAD_TIMEOUT = 120.0  # seconds without an answer from the head node before giving up
# Errors of the client: from Ray's server, a missing or wrong token, or the network.
NO_ANSWER = (RuntimeError, RayError, requests.RequestException)


class Job(NamedTuple):
    """The trainings to run.

    Attributes:
        tasks: each with the entry of its data in dvc.lock.
        pflop: the compute of each, by the key of the result.
        cpus: CPU cores per training, if there is no GPU.
    """

    tasks: list[tuple[Task, Stages]]
    pflop: dict[str, float]
    place: Place
    cpus: int


def work(job: Job) -> dict[str, Record]:
    """Train on this machine, or on the cluster that runs this process as a job.

    Returns:
        The results of the trainings that succeeded, by their keys.
    """
    with pool(job.cpus, cluster=job.place.root is None):
        gpu = takes_gpu()
        room = slots(job.cpus, gpu)
        own = {NEEDS_GPU: "1"} if gpu else thread_limits(job.cpus)
        place = job.place._replace(environment={**job.place.environment, **own})
        progress = SweepProgress(job.pflop, room)
        each = "one GPU each" if gpu else "on CPU"
        print(f"trainings at a time: {room}, {each}; {progress.left()}", flush=True)
        return progress.follow(train_all(job.tasks, place, job.cpus, progress.say))


def run(address: str, job: Job, tag: str, code: Path) -> None:
    """Run a job on a cluster and print its output; Ctrl-C stops the job.

    If a job with the same tag is still running, for example after a lost connection, follow it.

    Args:
        address: the job server's, like http://127.0.0.1:8265.
        tag: identifies all trainings of the experiments that are not recorded yet.
        code: the folder whose package `pipeline` runs on the cluster.

    Raises:
        UserError: the cluster cannot be reached, or is lost while the job runs.
    """
    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        client = JobSubmissionClient(address)
        same = (each for each in client.list_jobs() if (each.metadata or {}).get(TAG) == tag)
        running = [each.submission_id for each in same if not each.status.is_terminal()]
        name = running[0] if running else _submit(client, job, code, tag)
    except (ConnectionError, *NO_ANSWER) as error:
        said = f"--on {address}: the cluster's job server fails: {first_line(error)}"
        raise UserError(said) from None
    print(f"job {name} on {address}", flush=True)
    try:
        _follow(client, name)
    except KeyboardInterrupt:
        _stop(client, name)
        raise


def _submit(client: JobSubmissionClient, job: Job, code: Path, tag: str) -> str:
    deadline = time.monotonic() + HEAD_TIMEOUT
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
            except RuntimeError:  # a head node that has just started accepts no jobs yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)


def _follow(client: JobSubmissionClient, name: str) -> None:
    """Print a job's output until it has ended."""
    said, shown = "", 0
    answered = due = time.monotonic()
    while True:
        try:
            job = client.get_job_info(name)
            status = job.status
            if status.is_terminal() or time.monotonic() >= due:
                said, due = client.get_job_logs(name), time.monotonic() + LOG_SECONDS
            answered = time.monotonic()
        except NO_ANSWER as error:
            forgotten = isinstance(error, RuntimeError) and "status code 404" in str(error)
            if forgotten or time.monotonic() - answered > HEAD_TIMEOUT:
                lost = f"job {name} cannot be followed ({first_line(error)})"
                raise UserError(f"{lost}; repeat the command once the cluster answers") from None
        else:
            print(said[shown:], end="", flush=True)
            shown = len(said)
            if status.is_terminal():
                if status != JobStatus.SUCCEEDED:
                    reason = f" ({first_line(job.message)})" if job.message else ""
                    print(f"job {name}: {status.value}{reason}", file=sys.stderr)
                return
        time.sleep(POLL_SECONDS)


def _stop(client: JobSubmissionClient, name: str) -> None:
    """Stop a job and wait for its end; warn if the head node does not answer."""
    deadline = time.monotonic() + HEAD_TIMEOUT
    try:
        client.stop_job(name)
        while not client.get_job_status(name).is_terminal():
            if time.monotonic() > deadline:
                warn(f"job {name} has not ended yet; `ray job status {name}` shows whether it has")
                return
            time.sleep(POLL_SECONDS)
    except NO_ANSWER as error:
        warn(f"the cluster does not answer ({first_line(error)}); `ray job stop {name}` ends it")


def main(file: Path) -> None:
    """Run the job in a file, on the cluster that runs this process."""
    job: Job = pickle.loads(file.read_bytes())
    os.environ.update(job.place.environment)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Ray unpacks the job's folder once per node, also for a second node on this machine.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        work(job)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(Path(sys.argv[1]))))
