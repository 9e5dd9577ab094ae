"""Speed, simulations of the statistics, and the tables of published reports: see README.md."""

import pipeline  # noqa: F401  sets TensorFlow's environment variables; before TensorFlow is imported
