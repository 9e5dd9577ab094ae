"""A plain CNN against a residual network, both with DropBlock, on CIFAR-100."""

import os

# TensorFlow tells at each start of a missing GPU and of CPU features; its exceptions still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
