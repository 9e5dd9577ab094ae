import json
import os
import platform
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from tensorflow.python.util import _pywrap_util_port

from pipeline.core.errors import UserError
from pipeline.training import machine
from tests.conftest import REPOSITORY, start_python

CPU_INFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
"""


def test_a_processor_is_named_with_its_family(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(CPU_INFO)
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.processor_name() == "AMD EPYC (family 25, model 17)"


@pytest.mark.parametrize(
    ("flags", "gpus", "picked"),
    [
        ("avx2 fma avx512f", [], "float32"),
        ("avx512f avx512_bf16", [], "mixed_bfloat16"),
        ("avx512f amx_bf16 amx_tile", [], "mixed_bfloat16"),
        ("avx512f amx_bf16", ["one"], "float32"),
    ],
)
def test_auto_picks_16_bits_where_the_cpu_has_units_for_them(
    tmp_path, monkeypatch, flags, gpus, picked
):
    (tmp_path / "cpuinfo").write_text(f"{CPU_INFO}flags\t\t: {flags}\n")
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.tf.config, "list_physical_devices", lambda kind: gpus)
    assert machine.resolve_precision("auto") == picked
    assert machine.resolve_precision("mixed_float16") == "mixed_float16"


def test_a_system_without_cpuinfo_gives_what_it_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "none")
    assert machine.processor_name()


def test_the_description_has_plain_values():
    described = machine.describe_machine()
    assert json.loads(json.dumps(described)) == described
    assert described["cores"] >= 1
    assert described["memory_gb"] >= 1
    assert re.fullmatch(r"3\.\d+\.\d+", described["python"])


@pytest.mark.slow
def test_the_peak_grows_by_the_memory_that_is_used():
    code = (
        "import numpy as np; from pipeline.training.machine import peak_memory;"
        "before = peak_memory();"
        "np.ones(200_000_000, np.uint8); print(peak_memory() - before)"
    )
    grown = start_python(REPOSITORY, "-c", code).communicate()[0]
    assert 150e6 < int(grown) < 250e6


def test_trainings_at_the_same_time_take_a_device_each_and_wait_for_one(tmp_path, capsys):
    with ExitStack() as first, ExitStack() as second, ThreadPoolExecutor() as pool:
        assert machine.hold_device(["0", "1"], tmp_path, first) == 0
        assert machine.hold_device(["0", "1"], tmp_path, second) == 1
        third = pool.submit(machine.hold_device, ["0", "1"], tmp_path, ExitStack(), pause=0.01)
        time.sleep(0.2)
        assert not third.done()
        second.close()
        assert third.result(timeout=300) == 1
    assert capsys.readouterr().out.count("waiting for a GPU: all 2") == 1


def test_without_a_gpu_there_is_nothing_to_hold(tmp_path):
    with machine.one_device(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_processes_that_see_different_gpus_do_not_wait_for_each_other(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert machine.gpu_names(2) == ["3", "1"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert machine.gpu_names(2) == ["0", "1"]


def test_the_first_free_gpu_is_the_only_one_that_is_seen(tmp_path, monkeypatch):
    seen = []
    config = machine.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: ["gpu 0", "gpu 1"])
    monkeypatch.setattr(config, "set_visible_devices", lambda *chosen: seen.append(chosen))
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda gpu, on: None)
    with machine.one_device(tmp_path), machine.one_device(tmp_path):
        assert seen == [("gpu 0", "GPU"), ("gpu 1", "GPU")]


def test_a_training_that_was_given_a_gpu_does_not_go_on_without(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("PIPELINE_NEEDS_GPU", "1")
    with pytest.raises(UserError, match=r"tensorflow\[and-cuda\]"), machine.one_device(tmp_path):
        pass


@pytest.mark.skipif(platform.machine() != "x86_64", reason="set on x86 only")
@pytest.mark.skipif(os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0", reason="switched off by hand")
def test_convolutions_use_onednn_on_any_x86_cpu():
    assert _pywrap_util_port.IsMklEnabled()
