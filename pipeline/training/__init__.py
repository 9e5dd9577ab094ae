"""How a network is trained: batches, augmentation, optimizer, schedules, the loop, checkpoints."""
