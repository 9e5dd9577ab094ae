"""Compare all trainings and write the report."""
