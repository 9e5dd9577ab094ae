"""The stages of dvc.yaml, one file each; they speak to each other through files only."""
