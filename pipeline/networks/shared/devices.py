"""Whether there is a GPU; some layers and loops compute differently on one."""

import tensorflow as tf


def has_gpu() -> bool:
    """Whether there is a GPU, on which everything then runs."""
    return bool(tf.config.list_physical_devices("GPU"))
