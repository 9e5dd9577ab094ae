"""DropBlock: dropout of contiguous squares of a feature map (Ghiasi et al., arXiv 1810.12890)."""

import logging
from typing import Any

import keras
from keras import ops

logger = logging.getLogger(__name__)


@keras.saving.register_keras_serializable("pipeline")
class DropBlock2D(keras.layers.Layer):
    """Zero random block_size x block_size squares of each sample and channel, in training only.

    The top-left position of each block is drawn with probability
    gamma = (1 - keep) * h * w / block_size^2 / ((h - block_size + 1) * (w - block_size + 1))
    among the positions where the whole block lies within the map. The output is rescaled by
    size(mask) / sum(mask) over the whole batch tensor. At inference or with keep probability 1 the
    layer is the identity. `keep_prob` is a variable, so that a schedule can change it.

    Args:
        keep_prob: expected share of units kept, above 0 and at most 1.
        block_size: side of the square in units, at least 1; 1 is dropout of single units.
        oversize: if the block is larger than the map, "skip" drops nothing; "clamp" (the rule of
            the official DropBlock code) shrinks the block to the map's smaller side.
        seed: of the masks; without one they differ between layers and between runs.

    Input and output: float tensor (batch, height, width, channels), height and width known.

    Raises:
        ValueError: an argument is out of range, or the input is not as above.

    >>> import numpy as np
    >>> layer = DropBlock2D(keep_prob=0.9, block_size=3, seed=0)
    >>> maps = np.ones((8, 16, 16, 4), "float32")
    >>> bool((np.asarray(layer(maps)) == maps).all())  # inference: the identity
    True
    >>> dropped = np.asarray(layer(maps, training=True)) == 0
    >>> bool(0.05 < dropped.mean() < 0.15)
    True
    """

    def __init__(
        self,
        keep_prob: float,
        block_size: int,
        oversize: str = "skip",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < keep_prob <= 1:
            raise ValueError(f"keep_prob must be above 0 and at most 1, got {keep_prob}")
        if not isinstance(block_size, int) or block_size < 1:
            raise ValueError(f"block_size must be an integer of at least 1, got {block_size}")
        if oversize not in ("skip", "clamp"):
            raise ValueError(f"oversize must be 'skip' or 'clamp', got {oversize!r}")
        self.initial_keep_prob = keep_prob
        self.block_size = block_size
        self.oversize = oversize
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._said = False
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variable for the keep probability."""
        if len(input_shape) != 4 or input_shape[1] is None or input_shape[2] is None:
            raise ValueError(
                f"{self.name} needs (batch, height, width, channels) with known height and width, "
                f"got {input_shape}"
            )
        self.keep_prob = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_keep_prob),
            trainable=False,
            dtype="float32",
            autocast=False,
            name="keep_prob",
        )

    def block_size_on(self, height: int, width: int) -> int:
        """Return the side of the blocks dropped on a map of this size; 0 if nothing is dropped."""
        if self.block_size <= min(height, width):
            return self.block_size
        if self.oversize == "clamp":
            return min(height, width)
        return 0

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop blocks in training; return the inputs otherwise."""
        if not training:
            return inputs
        if self.block_size_on(*inputs.shape[1:3]) == 0:
            self._say_that_nothing_is_dropped(inputs.shape)
            return inputs
        mask = self.sample_mask(ops.shape(inputs))
        kept = ops.maximum(ops.sum(mask), 1.0)
        scale = ops.cast(ops.size(mask), "float32") / kept
        return inputs * ops.cast(mask * scale, inputs.dtype)

    def _say_that_nothing_is_dropped(self, shape: tuple[int | None, ...]) -> None:
        """Log it once; a compiled training step runs this only when it is traced."""
        if not self._said:
            logger.warning(
                "%s: block size %d is larger than the %dx%d map, nothing is dropped there "
                "(drop_block_oversize: clamp would drop blocks of the map's size)",
                self.name,
                self.block_size,
                *shape[1:3],
            )
        self._said = True

    def sample_mask(self, shape: tuple[Any, ...]) -> Any:
        """Draw a float32 mask of `shape` (n, h, w, c): 0 in dropped blocks, 1 elsewhere."""
        count, height, width, channels = shape
        block = self.block_size_on(height, width)
        rows, columns = height - block + 1, width - block + 1
        gamma = (1.0 - self.keep_prob) * (height * width / (block**2 * rows * columns))
        noise = keras.random.uniform(
            (count, rows, columns, channels), dtype="float32", seed=self.seed_generator
        )
        starts = ops.cast(noise < gamma, "float32")
        if block > 1:
            border = block - 1
            starts = ops.pad(starts, [[0, 0], [border, border], [border, border], [0, 0]])
            starts = ops.max_pool(starts, block, strides=1, data_format="channels_last")
        return 1.0 - starts

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        return {
            **super().get_config(),
            "keep_prob": self.initial_keep_prob,
            "block_size": self.block_size,
            "oversize": self.oversize,
            "seed": self.seed,
        }
