"""Leave made-up runs and untrained models in MLflow's store."""

from contextlib import suppress

import keras

from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import TRAINING


def log_small_model(identity="identity-0", name="small"):
    """Log a model that was not trained; return it."""
    inputs = keras.Input((4,), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.cast(inputs, "float32")))
    with tracked_run(name, {TRAINING: identity}) as run:
        return run.log_model(model, name, identity)


def leave_run(name, tags, rows=(), error=None):
    """Leave a run that logged these epochs and ended well, or by an error; return its id."""
    with suppress(*[type(error)] if error else []), tracked_run(name, tags) as run:
        run.log_history(rows)
        if error:
            raise error
    return run.run_id
