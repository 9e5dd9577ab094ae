"""What a person types beside the stages; `images` reads the pictures of `predict`."""
