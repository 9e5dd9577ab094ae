"""Where the images come from, and what is done to them before training."""
