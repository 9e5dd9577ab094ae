"""How a network is trained: batches, augmentation, optimizers, schedules, loop, checkpoints."""
