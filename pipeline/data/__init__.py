"""Where the images come from, and how they are prepared for training."""
