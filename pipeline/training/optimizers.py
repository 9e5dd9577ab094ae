"""The optimizers.

Keras' own Adam and SGD, with weight decay on kernels alone; and Muon, because Keras' own sends
every variable that is no matrix, so every convolution, to Adam.
"""

from typing import Any

import keras
from keras import ops

from pipeline.core.sections import Recipe, TrainParams

Tensor = Any
Variable = Any

# Of an odd polynomial that, applied again and again, brings every singular value in (0, 1] near 1
# (Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 3


@keras.saving.register_keras_serializable("pipeline")
class RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each step, looked up in the step's graph: the host sets nothing.

    Args:
        rates: of all steps; the last one is that of any further step.
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
    """Leaves batch norms and biases out of an optimizer's weight decay.

    Keras' exclude_from_weight_decay is lost when an optimizer is saved and loaded.
    """

    def _use_weight_decay(self, variable: Variable) -> bool:
        return len(variable.shape) > 1


@keras.saving.register_keras_serializable("pipeline")
class Adam(KernelDecay, keras.optimizers.Adam):
    """Keras' Adam; weight decay, if any, is of kernels alone and apart from the gradient."""


@keras.saving.register_keras_serializable("pipeline")
class SGD(KernelDecay, keras.optimizers.SGD):
    """Keras' SGD; weight decay, if any, is of kernels alone and apart from the gradient.

    Args:
        offset_factor: times the learning rate is that of the batch norms' offsets (beta).
        **kwargs: those of keras.optimizers.SGD.
    """

    def __init__(self, offset_factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.offset_factor = offset_factor

    def update_step(self, gradient: Tensor, variable: Variable, learning_rate: Tensor) -> None:
        """Update one variable."""
        if _name(variable) == "beta":
            learning_rate = self.offset_factor * learning_rate
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        return {**super().get_config(), "offset_factor": self.offset_factor}


@keras.saving.register_keras_serializable("pipeline")
class Muon(SGD):
    """SGD whose steps on kernels of convolutions are made orthogonal (Jordan et al. 2024).

    Such a step changes the convolution's output alike in all directions, not in the few that
    dominate the gradient.

    Args:
        kernel_factor: times the learning rate is that of the convolutions.
        kernel_momentum: Nesterov momentum of the convolutions.
        kernel_decay: weight decay of the convolutions, apart from the gradient.
        **kwargs: those of SGD, for all other variables.
    """

    def __init__(
        self,
        kernel_factor: float = 1.0,
        kernel_momentum: float = 0.95,
        kernel_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_factor, self.kernel_momentum = kernel_factor, kernel_momentum
        self.kernel_decay = kernel_decay

    def build(self, variables: list[Variable]) -> None:
        """Make the velocities, those of the convolutions also where SGD's momentum is 0."""
        super().build(variables)
        if self.momentum == 0:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Tensor, variable: Variable, learning_rate: Tensor) -> None:
        """Update one variable."""
        if not _is_convolution(variable):
            super().update_step(gradient, variable, learning_rate)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.kernel_momentum * velocity + gradient)
        step = orthogonalise(gradient + self.kernel_momentum * velocity)
        step = step + self.kernel_decay * variable
        self.assign_sub(variable, self.kernel_factor * learning_rate * step)

    def _use_weight_decay(self, variable: Variable) -> bool:
        return super()._use_weight_decay(variable) and not _is_convolution(variable)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        names = ("kernel_factor", "kernel_momentum", "kernel_decay")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _name(variable: Variable) -> str:
    """Return the last part of a name, of Keras' variable or TensorFlow's (`norm/beta:0`)."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def _is_convolution(variable: Variable) -> bool:
    return len(variable.shape) == 4


def orthogonalise(kernel: Tensor, steps: int = NEWTON_SCHULZ_STEPS) -> Tensor:
    """Return the matrix next to a (height, width, in, out) kernel that is nearly orthogonal.

    The kernel counts as the matrix X of shape (height * width * in, out), whatever its size: its
    singular vectors stay, its singular values come to lie between 0.68 and 1.2 where they were a
    fiftieth of X's Frobenius norm or more; smaller ones grow up to 41 times. X itself is multiplied
    once only: what the iteration of Newton and Schulz does to it is a polynomial of X'X, which is
    small.

    Returns:
        A tensor of the kernel's shape.
    """
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    rows, columns = matrix.shape
    matrix = matrix / (ops.norm(matrix) + 1e-7)
    tall = rows >= columns
    gram = (
        ops.matmul(ops.transpose(matrix), matrix)
        if tall
        else ops.matmul(matrix, ops.transpose(matrix))
    )
    a, b, c = NEWTON_SCHULZ
    identity = ops.eye(min(rows, columns), dtype=matrix.dtype)
    product = identity
    for step in range(steps):
        factor = a * identity + b * gram + c * ops.matmul(gram, gram)
        product = ops.matmul(product, factor)
        if step < steps - 1:
            gram = ops.matmul(ops.matmul(factor, gram), factor)
    result = ops.matmul(matrix, product) if tall else ops.matmul(product, matrix)
    return ops.reshape(result, kernel.shape)


def make_optimizer(params: Recipe, train: TrainParams) -> keras.optimizers.Optimizer:
    """Make the optimizer of a recipe; the loop gives it the learning rates of all steps."""
    common: dict[str, Any] = {
        "learning_rate": params.learning_rate,
        "global_clipnorm": train.clip_norm,
        "weight_decay": params.weight_decay or None,
    }
    if params.weight_average:
        common |= {"use_ema": True, "ema_momentum": params.weight_average}
    if params.optimizer == "adam":
        beta_1, beta_2, epsilon = train.adam_beta_1, train.adam_beta_2, train.adam_epsilon
        return Adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **common)
    common |= {
        "momentum": params.momentum,
        "nesterov": params.momentum > 0,
        "offset_factor": params.offset_rate_factor,
    }
    if params.optimizer == "sgd":
        return SGD(**common)
    factor = params.muon_learning_rate / params.learning_rate
    return Muon(
        kernel_factor=factor,
        kernel_momentum=params.muon_momentum,
        kernel_decay=params.muon_weight_decay,
        **common,
    )
