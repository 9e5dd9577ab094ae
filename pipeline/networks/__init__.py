"""The networks: each file here is one, found by its name; `shared` holds what they are built of."""
