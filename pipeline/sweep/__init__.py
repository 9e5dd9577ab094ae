"""Many experiments at once: Ray runs trainings in parallel, `dvc exp run` records the results."""
