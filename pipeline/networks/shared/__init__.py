"""The building blocks of the networks, and functions for all of them."""
