"""What every room speaks in: errors, settings, trainings and their files, images."""
