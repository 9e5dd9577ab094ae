"""A long queue with two workers, and the server under load. Takes minutes; runs if LOAD is set."""

import asyncio
import os
import time

import aiohttp
import numpy as np
import psutil
import pytest

from pipeline.commands.servers import free_port
from tests.conftest import copy_project, runs_of, start_python, stop, wait_until_up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("LOAD" not in os.environ, reason="LOAD is not set"),
]
EXPERIMENTS, WORKERS = 20, 2
CLIENTS, SECONDS = 1_000, 60
LATEST, AGAIN, MEGABYTES = 10, 2, 200  # seconds for an answer, and until all is as before


def test_twenty_queued_experiments_end_complete_in_dvc_and_mlflow(finished_project, tmp_path):
    project = copy_project(finished_project, tmp_path / "copy")
    # None has the finished run's value, which would be restored from the cache instead of trained.
    steps = ",".join(f"0.0{101 + i}" for i in range(EXPERIMENTS))
    project.run("dvc", "exp", "run", "--queue", "-S", f"model.conv_keep_step={steps}")
    begun = time.perf_counter()
    project.run("dvc", "queue", "start", "-j", str(WORKERS))
    while "Queued" in (status := project.run("dvc", "queue", "status").stdout) or (
        "Running" in status
    ):
        assert time.perf_counter() - begun < 3_600, status
        time.sleep(5)
    print(f"{EXPERIMENTS} experiments, {WORKERS} workers: {time.perf_counter() - begun:.0f} s")
    assert status.count("Success") == EXPERIMENTS, status
    names = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert len(names) >= EXPERIMENTS
    client, runs = runs_of(project)
    queued = [run for run in runs if run.data.tags["dvc.experiment"] in names]
    assert len({run.data.params["conv_keep_step"] for run in queued}) == EXPERIMENTS
    for run in queued:
        assert run.info.status == "FINISHED"
        steps = [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")]
        assert steps == [1, 2]
        assert "test_accuracy" in run.data.metrics


async def ask_for_a_minute(address, clients=CLIENTS, seconds=SECONDS):
    """Keep `clients` requests under way; return the latencies of each status, and errors."""
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).tolist()
    latencies, errors = {200: [], 503: []}, []
    end = time.perf_counter() + seconds

    async def client(session):
        while time.perf_counter() < end:
            begun = time.perf_counter()
            try:
                async with session.post(address, json={"inputs": image}) as answer:
                    content = await answer.json()
                    latencies[answer.status].append(time.perf_counter() - begun)
                    if answer.status == 503:
                        await asyncio.sleep(int(answer.headers["Retry-After"]))
                    elif len(content["predictions"][0]) != 10:
                        errors.append(content)
            except (TimeoutError, aiohttp.ClientError, KeyError) as error:
                errors.append(error)

    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return latencies, errors


def test_a_thousand_clients_at_once_are_answered_or_refused_at_once(finished_project):
    port = free_port()
    address = f"http://127.0.0.1:{port}/invocations"
    # Nobody reads its output, and a pipe full of access log would block it.
    process = start_python(
        finished_project.folder, "-m", "pipeline", "serve", "--port", str(port), readable=False
    )
    try:
        wait_until_up(address.replace("invocations", "ping"))
        asyncio.run(ask_for_a_minute(address, clients=1, seconds=AGAIN))
        memory = psutil.Process(process.pid).memory_info().rss
        latencies, errors = asyncio.run(ask_for_a_minute(address))
        after, _ = asyncio.run(ask_for_a_minute(address, clients=1, seconds=AGAIN))
        grown = (psutil.Process(process.pid).memory_info().rss - memory) / 1e6
    finally:
        stop(process)
    for status, seconds in latencies.items():
        percentiles = np.percentile(seconds, [50, 90, 99, 100])
        print(f"{len(seconds)} answers {status}, in seconds at 50, 90, 99, 100 %: "
              + ", ".join(f"{p:.2f}" for p in percentiles))  # fmt: skip
    print(f"memory grew by {grown:.0f} MB; afterwards {max(after[200]):.2f} s")
    assert not errors, errors[:3]
    assert max(map(max, latencies.values())) < LATEST
    assert max(after[200]) < AGAIN
    assert not after[503]
    assert grown < MEGABYTES
