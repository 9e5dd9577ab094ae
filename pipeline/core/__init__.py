"""What every room shares: errors, files, images as records, the sections of params.yaml."""
