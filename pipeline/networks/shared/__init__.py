"""What the networks are built of, and what is the same for all of them."""
