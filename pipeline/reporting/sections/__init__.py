"""The report's sections, one file each: `make` returns what it shows, or None for nothing."""
