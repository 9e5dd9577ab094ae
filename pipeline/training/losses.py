"""The loss: cross entropy, with or without label smoothing."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("pipeline")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross entropy of logits with smoothed labels (Szegedy et al., arXiv 1512.00567).

    Keras smooths only one-hot labels; here labels are (n,) integers.

    Args:
        label_smoothing: the probability that is spread evenly over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the (n,) losses of (n,) labels and (n, classes) logits."""
        classes = y_pred.shape[-1]
        labels = ops.one_hot(ops.reshape(ops.cast(y_true, "int32"), (-1,)), classes)
        return keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def make_loss(label_smoothing: float) -> keras.losses.Loss:
    """Make the loss for (n,) labels and (n, classes) logits."""
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
