"""The report's sections, one per file; `make` returns the section, or None to leave it out."""
