"""A plain CNN against a residual network, both with DropBlock, on CIFAR-100."""

import os

# At each start TensorFlow logs the CPU's features and, as an error, a missing GPU (cuInit). Level 3
# hides both; exceptions still show. Set it to 0 to see all, for example if a GPU is not found.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
