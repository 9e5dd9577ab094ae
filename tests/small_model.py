"""A model that was logged to MLflow, without a training."""

import keras

from pipeline.tracking.lifecycle import tracked_run


def log_small_model():
    """Log a model that was not trained; return run id and URI."""
    inputs = keras.Input((4,), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.cast(inputs, "float32")))
    with tracked_run("small", {}) as run:
        return run.run_id, run.log_model(model, "small")
