"""A long queue with two workers, and the server under load. Takes minutes; runs if LOAD is set."""

import asyncio
import os
import time

import aiohttp
import numpy as np
import pytest

from pipeline.commands.servers import free_port
from tests.conftest import copy_project, runs_of, start_python, stop, wait_until_up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("LOAD" not in os.environ, reason="LOAD is not set"),
]
EXPERIMENTS, WORKERS = 20, 2
CLIENTS, SECONDS = 200, 60


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


async def ask_for_a_minute(address):
    """Keep CLIENTS requests under way for SECONDS; return latencies and errors."""
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).tolist()
    latencies, errors = [], []
    end = time.perf_counter() + SECONDS

    async def client(session):
        while time.perf_counter() < end:
            begun = time.perf_counter()
            try:
                async with session.post(address, json={"inputs": image}) as answer:
                    content = await answer.json()
                    if answer.status != 200 or len(content["predictions"][0]) != 10:
                        errors.append(content)
            except (TimeoutError, aiohttp.ClientError) as error:
                errors.append(error)
            latencies.append(time.perf_counter() - begun)

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return latencies, errors


def test_the_server_answers_200_at_once_for_a_minute_without_an_error(finished_project):
    port = free_port()
    address = f"http://127.0.0.1:{port}/invocations"
    # Nobody reads its output, and a pipe full of access log would block it.
    process = start_python(
        finished_project.folder, "-m", "pipeline", "serve", "--port", str(port), readable=False
    )
    try:
        wait_until_up(address.replace("invocations", "ping"))
        latencies, errors = asyncio.run(ask_for_a_minute(address))
    finally:
        stop(process)
    percentiles = np.percentile(latencies, [50, 90, 99, 100])
    print(f"{len(latencies)} requests, {len(errors)} errors; seconds at 50, 90, 99, 100 %: "
          + ", ".join(f"{p:.2f}" for p in percentiles))  # fmt: skip
    assert not errors, errors[:3]
    assert len(latencies) >= CLIENTS
