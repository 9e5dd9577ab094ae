"""Give a network its optimizer, loss and metrics, ready to train."""

import keras
import numpy as np

from pipeline.core.records import Images
from pipeline.core.sections import Recipe, TrainParams
from pipeline.networks.shared.models import (
    adapt_model,
    build_model,
    check_first_batch,
    check_loading,
)
from pipeline.training.losses import make_loss
from pipeline.training.optimizers import make_optimizer


def compile_model(model: keras.Model, recipe: Recipe, train: TrainParams) -> keras.Model:
    """Give the model its optimizer and loss, and the metrics accuracy and cross_entropy.

    `cross_entropy` is the loss without label smoothing, comparable between training and validation.
    """
    cross_entropy = keras.metrics.SparseCategoricalCrossentropy(
        from_logits=True, name="cross_entropy"
    )
    model.compile(
        optimizer=make_optimizer(recipe, train),
        loss=make_loss(recipe.label_smoothing),
        metrics=["accuracy", cross_entropy],
        jit_compile=train.jit_compile,
    )
    return model


def create_variables(model: keras.Model) -> None:
    """Create the variables of optimizer and metrics.

    Otherwise the first step creates them, and TensorFlow has to trace it a second time.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    model.compute_metrics(x=None, y=np.zeros(1), y_pred=np.zeros((1, model.output_shape[-1])))
    model.reset_metrics()


def new_model(
    network: str,
    recipe: Recipe,
    train: TrainParams,
    classes: int,
    image_size: int,
    images: Images | None = None,
) -> keras.Model:
    """Build, check and compile an untrained network, given the name of its file in networks/.

    Args:
        images: training images, for networks that set weights from them.
    """
    model = build_model(network, recipe, classes, image_size)
    if images is not None:
        adapt_model(network, model, images)
    check_first_batch(network, model)
    check_loading(network, model)
    return compile_model(model, recipe, train)
