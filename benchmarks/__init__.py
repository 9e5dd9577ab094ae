"""Timed comparisons with named peers; `make benchmarks` runs them."""

import pipeline  # noqa: F401  sets TensorFlow's environment variables; before TensorFlow is imported
