"""Initial weights that Keras does not have."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("pipeline")
class Dirac(keras.initializers.GlorotUniform):
    """Filters that pass a channel on: the first n filters are the identity on the first n channels.

    n is the number of channels or of filters, whichever is smaller. All other filters are Glorot's,
    and so are the weights of dense layers. With an even kernel this holds for SAME padding, which
    pads more at the end.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **kwargs: Any) -> Any:
        """Return the initial weights of a (height, width, in, out) kernel, or of a dense layer."""
        weights = super().__call__(shape, dtype, **kwargs)
        if len(shape) != 4:
            return weights
        height, width, channels, filters = shape
        count = min(channels, filters)
        identity = np.zeros((height, width, channels, count))
        identity[(height - 1) // 2, (width - 1) // 2, range(count), range(count)] = 1
        identity = ops.convert_to_tensor(identity, weights.dtype)
        return ops.concatenate([identity, weights[..., count:]], axis=-1)
