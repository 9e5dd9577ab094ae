"""Many experiments at once: trained in parallel by Ray, recorded as `dvc exp run` records them."""
