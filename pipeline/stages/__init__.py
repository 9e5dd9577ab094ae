"""The stages of dvc.yaml, one per file; they exchange data only through files."""
