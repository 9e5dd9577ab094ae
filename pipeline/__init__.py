"""A plain CNN against a residual network, both with DropBlock, on CIFAR-100."""

import os

# TensorFlow tells at each start of CPU features and, as an error, of a missing GPU (cuInit); its
# exceptions still show. Set it to 0 to see all, as for a GPU that is not found.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
