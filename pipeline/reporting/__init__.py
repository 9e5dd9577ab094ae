"""The comparison of all trainings, and the page that shows it."""
