"""A plain CNN against a residual network, both with DropBlock, on CIFAR-100."""

import os

# TensorFlow tells of missing GPUs and CPU features at each start; its errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
