"""Speed, simulations of the statistics, and the tables of published reports: see README.md."""
