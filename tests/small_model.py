"""Log an untrained model to MLflow."""

import keras

from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import TRAINING


def log_small_model(identity="identity-0", name="small"):
    """Log a model that was not trained; return it."""
    inputs = keras.Input((4,), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.cast(inputs, "float32")))
    with tracked_run(name, {TRAINING: identity}) as run:
        return run.log_model(model, name, identity)
