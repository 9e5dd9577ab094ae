"""A CNN against a residual network, both with DropBlock, on CIFAR-100."""

import os
import platform

# At each start TensorFlow logs the CPU's features and, as an error, a missing GPU (cuInit). Level 3
# hides both; exceptions still show. Set it to 0 to see all, for example if a GPU is not found.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow leaves oneDNN's convolutions out on x86 CPUs without AVX512-VNNI or the like, where
# they are faster too (benchmarks/README.md, "What was tried"). Other CPUs were not measured.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
