"""The optimizer, and a network compiled for training."""

import keras

from pipeline.core.declarations import Recipe
from pipeline.core.params import TrainParams
from pipeline.networks.shared.models import build_model


def compile_model(model: keras.Model, params: Recipe, train: TrainParams) -> keras.Model:
    """Give the model the tutorial's Adam, its loss and accuracy."""
    model.compile(
        optimizer=keras.optimizers.Adam(
            learning_rate=params.learning_rate,
            beta_1=train.adam_beta_1,
            beta_2=train.adam_beta_2,
            epsilon=train.adam_epsilon,
            global_clipnorm=train.clip_norm,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=train.jit_compile,
    )
    return model


def new_model(network: str, params: Recipe, train: TrainParams, classes: int) -> keras.Model:
    """Build and compile an untrained network, by the name of its file in networks/."""
    return compile_model(build_model(network, params, classes), params, train)
