"""Many experiments at once: Ray runs trainings in parallel, DVC records the results."""
