"""What all packages share: errors, files, image records, the sections of params.yaml."""
