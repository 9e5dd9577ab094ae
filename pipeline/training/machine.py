"""What a training runs on: precision, devices, processor and memory."""

import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import keras
import psutil
import tensorflow as tf

from pipeline.core.errors import UserError
from pipeline.core.files import NEEDS_GPU
from pipeline.core.sections import TrainParams
from pipeline.networks.shared.devices import has_gpu

CPU_INFO = Path("/proc/cpuinfo")
STATUS = Path("/proc/self/status")
# Of the GPUs in use: one folder per machine, as other projects on it have the same GPUs, and other
# machines that share this project's folder have their own.
LOCKS = Path(tempfile.gettempdir(), f"gpus-of-{os.getuid()}")
BFLOAT16_UNITS = {"amx_bf16", "avx512_bf16"}  # Linux' names


def configure_backend(train: TrainParams, seed: int) -> None:
    """Set precision, determinism and the seed of the weights; call before building anything."""
    keras.mixed_precision.set_global_policy(resolve_precision(train.precision))
    keras.utils.set_random_seed(seed)
    if train.deterministic:
        tf.config.experimental.enable_op_determinism()


def resolve_precision(wanted: str) -> str:
    """Return the precision that `auto` means on this machine; any other value unchanged.

    In 16 bits the networks train 1.1 to 1.4 times as fast on a CPU with AVX512-BF16, and 1.4 to 2.4
    times on one with AMX (reports/benchmarks/precision.md). On NVIDIA's GPUs since Ampere,
    TensorFlow computes float32 convolutions and matrix products in TF32, with 10 bits of mantissa.
    """
    if wanted != "auto":
        return wanted
    units = BFLOAT16_UNITS & set(cpu_facts().get("flags", "").split())
    return "mixed_bfloat16" if units and not has_gpu() else "float32"


def precision_of(model: keras.Model) -> str:
    """Return the precision that a network was built with; some of its layers are always float32."""
    names = {layer.dtype_policy.name for layer in model.layers} - {"float32"}
    return names.pop() if names else "float32"


@contextmanager
def one_device(folder: Path = LOCKS) -> Iterator[None]:
    """Use one GPU in this process, if there are any, and leave the others to other processes.

    One, because DropBlock's rescaling and batch norm are over the whole batch, as in the tutorial,
    and not over a device's part of it. Call this before anything else uses the GPUs.

    Args:
        folder: of the locks by which simultaneous trainings choose different GPUs.

    Raises:
        UserError: there is no GPU, but a sweep assigned one to this training.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and os.environ.get(NEEDS_GPU):
        raise UserError(
            "the sweep assigned a GPU to this training, but TensorFlow finds none; install CUDA's "
            f"libraries with `pip install 'tensorflow[and-cuda]=={tf.__version__}'`"
        )
    with ExitStack() as held:
        if gpus:
            folder.mkdir(exist_ok=True)
            mine = gpus[hold_device(gpu_names(len(gpus)), folder, held)]
            tf.config.set_visible_devices(mine, "GPU")
            tf.config.experimental.set_memory_growth(mine, True)
        yield


@contextmanager
def explain_lack_of_memory(key: str, batch_size: int) -> Iterator[None]:
    """Turn a failed allocation, in main or GPU memory, into a UserError.

    Args:
        key: of params.yaml, that holds the batch size.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise UserError(
            f"out of memory with {key} = {batch_size}; use a smaller batch or a smaller network, "
            "or train.precision: mixed_float16 on a GPU"
        ) from None


def gpu_names(count: int) -> list[str]:
    """Return names of the visible GPUs that are the same in all processes of this machine."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible if len(visible) == count else [str(number) for number in range(count)]


def hold_device(names: list[str], folder: Path, held: ExitStack, pause: float = 1.0) -> int:
    """Lock the first free one of some devices, waiting until one is free; return its position.

    Args:
        pause: seconds between attempts.
    """
    said = False
    while True:
        for number, name in enumerate(names):
            lock = filelock.FileLock(folder / f"gpu-{name}.lock")
            with suppress(filelock.Timeout):
                held.enter_context(lock.acquire(timeout=0))
                return number
        if not said:
            print(f"waiting for a GPU: all {len(names)} are in use by other trainings", flush=True)
        said = True
        time.sleep(pause)


def describe_machine() -> dict[str, Any]:
    """Return the processor, its cores, the memory in GB, the system and Python's version."""
    return {
        "processor": processor_name(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def processor_name() -> str:
    """Return the processor's name as the system gives it; on Linux with its family and model."""
    if not (known := cpu_facts()):
        return platform.processor() or platform.machine()
    name = known.get("model name", platform.machine())
    family = [known.get(key, "?") for key in ("cpu family", "model")]
    return f"{name} (family {family[0]}, model {family[1]})"


def cpu_facts() -> dict[str, str]:
    """Return Linux' facts about the last processor; {} on other systems."""
    if not CPU_INFO.exists():
        return {}
    facts = dict(line.split(":", 1) for line in CPU_INFO.read_text().splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in facts.items()}


def peak_memory() -> int:
    """Return the peak memory use so far, in bytes; of the GPUs if there are any."""
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if not gpus:
        return peak_process_memory()
    return sum(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus)


def peak_process_memory() -> int:
    """Return this process's peak memory use so far, in bytes."""
    if STATUS.exists():  # on Linux, getrusage's value starts at the parent process's
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
