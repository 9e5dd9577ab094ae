"""The optimizers.

Keras' own Adam and SGD, with weight decay on kernels only; and our own Muon, because Keras' uses
Adam for every variable that is not a matrix, and so for every convolution.
"""

import math
from collections import defaultdict
from typing import Any

import keras
from keras import ops

from pipeline.core.sections import Recipe, TrainParams
from pipeline.networks.shared.devices import has_gpu

Tensor = Any
Variable = Any

# Coefficients of an odd polynomial; applied repeatedly, it moves singular values in (0, 1] near 1
# (Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 3


@keras.saving.register_keras_serializable("pipeline")
class RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each step, looked up in the training graph; the host need not set it.

    Args:
        rates: the rates of all steps; any further step uses the last one.
    """

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = rates

    def __call__(self, step: Tensor) -> Tensor:
        """Return the float32 rate of a step, counted from 0."""
        last = len(self.rates) - 1
        return ops.take(ops.array(self.rates, "float32"), ops.minimum(step, last))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        return {"rates": self.rates}


class KernelDecay:
    """Leaves batch norms and biases out of weight decay.

    Keras' exclude_from_weight_decay is lost when an optimizer is saved and loaded.
    """

    def _use_weight_decay(self, variable: Variable) -> bool:
        return len(variable.shape) > 1


@keras.saving.register_keras_serializable("pipeline")
class Adam(KernelDecay, keras.optimizers.Adam):
    """Keras' Adam; weight decay, if any, applies to kernels only and is decoupled (AdamW)."""


@keras.saving.register_keras_serializable("pipeline")
class SGD(KernelDecay, keras.optimizers.SGD):
    """Keras' SGD; weight decay, if any, applies to kernels only and is decoupled."""


@keras.saving.register_keras_serializable("pipeline")
class Muon(SGD):
    """SGD with orthogonalised updates for the kernels of convolutions (Jordan et al. 2024).

    An orthogonalised update changes the convolution's output equally in all directions, not only in
    the few that dominate the gradient.

    Args:
        kernel_factor: multiplies the learning rate for convolutions.
        kernel_momentum: Nesterov momentum for convolutions.
        kernel_decay: decoupled weight decay for convolutions.
        kernel_rescale: whether to scale a convolution's kernel to norm sqrt(filters) before each
            step, so that a step turns it by the same angle however long it is trained.
        **kwargs: arguments of SGD, for all other variables.
    """

    def __init__(
        self,
        kernel_factor: float = 1.0,
        kernel_momentum: float = 0.95,
        kernel_decay: float = 0.0,
        kernel_rescale: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_factor, self.kernel_momentum = kernel_factor, kernel_momentum
        self.kernel_decay, self.kernel_rescale = kernel_decay, kernel_rescale

    def build(self, variables: list[Variable]) -> None:
        """Create the velocities; those of convolutions are needed even if SGD's momentum is 0."""
        super().build(variables)
        if self.momentum == 0:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Tensor, variable: Variable, learning_rate: Tensor) -> None:
        """Update one variable."""
        if _is_convolution(variable):
            self._update_kernels([(gradient, variable)], learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _backend_update_step(
        self, grads: list[Tensor], trainable_variables: list[Variable], learning_rate: Tensor
    ) -> None:
        """Update all variables; on a GPU, kernels of one shape together, which is faster."""
        together: dict[Any, list[tuple[Tensor, Variable]]] = defaultdict(list)
        alone: list[tuple[Tensor, Variable]] = []
        for pair in zip(grads, trainable_variables, strict=True):
            batched = has_gpu() and _is_convolution(pair[1])
            (together[tuple(pair[1].shape)] if batched else alone).append(pair)
        for pairs in together.values():
            self._update_kernels(pairs, learning_rate)
        gradients, variables = [g for g, _ in alone], [v for _, v in alone]
        super()._backend_update_step(gradients, variables, learning_rate)

    def _update_kernels(self, pairs: list[tuple[Tensor, Variable]], learning_rate: Tensor) -> None:
        """Update convolutions of one shape, given their gradients."""
        directions = [self._direction(gradient, variable) for gradient, variable in pairs]
        dtype = _precision()
        if len(pairs) == 1:
            steps = [orthogonalise(directions[0], dtype)]
        else:
            steps = ops.unstack(orthogonalise(ops.stack(directions), dtype), len(pairs))
        for (_, variable), step in zip(pairs, steps, strict=True):
            step = step + self.kernel_decay * variable
            self.assign_sub(variable, self.kernel_factor * learning_rate * step)

    def _direction(self, gradient: Tensor, variable: Variable) -> Tensor:
        """Rescale a kernel if wanted, and return the direction of its momentum."""
        if self.kernel_rescale:
            length = ops.norm(ops.reshape(variable, (-1,)))
            self.assign(variable, variable * (variable.shape[-1] ** 0.5 / length))
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.kernel_momentum * velocity + gradient)
        return gradient + self.kernel_momentum * velocity

    def _use_weight_decay(self, variable: Variable) -> bool:
        return super()._use_weight_decay(variable) and not _is_convolution(variable)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        names = ("kernel_factor", "kernel_momentum", "kernel_decay", "kernel_rescale")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _is_convolution(variable: Variable) -> bool:
    """Whether it is a convolution's kernel; a depthwise one has no matrix to orthogonalise."""
    return len(variable.shape) == 4 and variable.shape[-1] > 1


def _precision() -> str:
    """Return the data type to orthogonalise in: 16 bits where the network has them, as Jordan's."""
    computed = keras.config.dtype_policy().compute_dtype
    return computed if computed == "bfloat16" else "float32"  # float16 has too small a range


def orthogonalise(kernel: Tensor, dtype: str = "float32") -> Tensor:
    """Return a nearly orthogonal matrix close to a (..., height, width, in, out) kernel.

    Each kernel is taken as a matrix X of shape (height * width * in, out), and its scale does not
    matter. Singular vectors stay. Singular values of at least a fiftieth of X's Frobenius norm move
    to between 0.68 and 1.2; smaller ones grow up to 41 times. X itself is multiplied only once,
    because the Newton-Schulz iteration multiplies it by a polynomial of the smaller matrix X'X
    (XX' if X is wide).

    Args:
        dtype: in which to compute the matrix products.

    Returns:
        A tensor of the kernel's shape and type.
    """
    *many, _, _, _, columns = kernel.shape
    rows = math.prod(kernel.shape[-4:-1])
    matrix = ops.reshape(kernel, (*many, rows, columns))
    matrix = matrix / (ops.norm(matrix, axis=(-2, -1), keepdims=True) + 1e-7)
    matrix = ops.cast(matrix, dtype)
    tall, transposed = rows >= columns, ops.swapaxes(matrix, -2, -1)
    gram = ops.matmul(transposed, matrix) if tall else ops.matmul(matrix, transposed)
    a, b, c = NEWTON_SCHULZ
    identity = ops.eye(min(rows, columns), dtype=matrix.dtype)
    product = identity
    for step in range(NEWTON_SCHULZ_STEPS):
        factor = a * identity + b * gram + c * ops.matmul(gram, gram)
        product = ops.matmul(product, factor)
        if step < NEWTON_SCHULZ_STEPS - 1:
            gram = ops.matmul(ops.matmul(factor, gram), factor)
    result = ops.matmul(matrix, product) if tall else ops.matmul(product, matrix)
    return ops.cast(ops.reshape(result, kernel.shape), kernel.dtype)


def make_optimizer(recipe: Recipe, train: TrainParams) -> keras.optimizers.Optimizer:
    """Make a recipe's optimizer; the training loop sets the learning rates of all steps."""
    common: dict[str, Any] = {
        "learning_rate": recipe.learning_rate,
        "global_clipnorm": train.clip_norm,
        "weight_decay": recipe.weight_decay or None,
    }
    if recipe.optimizer == "adam":
        beta_1, beta_2, epsilon = train.adam_beta_1, train.adam_beta_2, train.adam_epsilon
        return Adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **common)
    common |= {"momentum": recipe.momentum, "nesterov": True}
    if recipe.optimizer == "sgd":
        return SGD(**common)
    factor = recipe.muon_learning_rate / recipe.learning_rate
    return Muon(
        kernel_factor=factor,
        kernel_momentum=recipe.muon_momentum,
        kernel_decay=recipe.muon_weight_decay,
        kernel_rescale=recipe.muon_rescale,
        **common,
    )
