"""The commands that are not stages; `images` reads the pictures for `predict`."""
