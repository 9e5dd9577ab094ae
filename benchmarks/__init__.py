"""Timed comparisons with named peers; `make benchmarks` runs them."""
