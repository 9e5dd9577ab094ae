"""What a file of networks/ declares, and how the networks are found: by the files' names.

The declarations are read by all rooms, also by those that do without Keras; a builder imports it.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline.core.arithmetic import keep_prob
from pipeline.core.errors import UserError
from pipeline.core.records import IMAGE_SIZE

NETWORKS_PACKAGE = "pipeline.networks"
NETWORKS_FOLDER = Path(__file__).parents[1] / "networks"

WIDEST = 16.0  # times the tutorial's filters and hidden units
Probability = Annotated[float, Field(ge=0, le=1)]
KeepProbability = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=10)]


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversion, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Recipe(Section):
    """What the section of every network holds: how large it is, and how it is trained."""

    width: Annotated[float, Field(gt=0, le=WIDEST)]
    drop_block_size: Count
    drop_block_oversize: Literal["skip", "clamp"]
    conv_keep_start: KeepProbability
    conv_keep_step: Annotated[float, Field(ge=0, le=1)]
    conv_keep_end: KeepProbability
    dense_keep: KeepProbability
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Count
    small_image_share: Share
    small_image_size: Annotated[int, Field(ge=8, le=IMAGE_SIZE)]
    optimizer: Literal["adam", "sgd", "muon"]
    learning_rate: Rate
    muon_learning_rate: Rate
    momentum: Share
    muon_momentum: Share
    offset_rate_factor: Annotated[float, Field(gt=0, le=1000)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    muon_weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["exponential", "one_cycle", "linear"]
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)]
    warmup: Share
    cooldown: Annotated[float, Field(gt=0, le=1)]
    label_smoothing: Share
    weight_average: Share
    stop_after_rising: Count | None

    @model_validator(mode="after")
    def _keep_falls(self) -> "Recipe":
        if self.conv_keep_end > self.conv_keep_start:
            raise PydanticCustomError(
                "rule_keep", "conv_keep_end must not be above conv_keep_start"
            )
        return self

    @model_validator(mode="after")
    def _schedule_fits(self) -> "Recipe":
        if self.schedule == "linear" and self.warmup + self.cooldown > 1:
            raise PydanticCustomError(
                "rule_schedule",
                "warmup and cooldown together must not be above 1",
            )
        return self

    @model_validator(mode="after")
    def _factor_is_used(self) -> "Recipe":
        if self.optimizer == "adam" and self.offset_rate_factor != 1:
            raise PydanticCustomError(
                "rule_offset", "offset_rate_factor must be 1.0 with optimizer adam"
            )
        return self

    def keep_prob(self, epoch: int) -> float:
        """Return DropBlock's keep probability in an epoch, counted from 0."""
        return keep_prob(self.conv_keep_start, self.conv_keep_step, self.conv_keep_end, epoch)

    @property
    def last_keep_prob(self) -> float:
        """DropBlock's keep probability in the last epoch that there may be: the lowest."""
        return self.keep_prob(self.epochs - 1)

    @property
    def drops(self) -> bool:
        """Whether DropBlock is on: whether it keeps less than everything at any time."""
        return self.last_keep_prob < 1


class ConvNetParams(Recipe):
    """A network of convolutional blocks and hidden layers, as both of the tutorial are."""

    filters: Annotated[list[Count], Field(min_length=1)]
    kernel_sizes: Annotated[list[Count], Field(min_length=1)]
    pool_size: Count
    pool_stride: Count
    hidden_units: list[Count]
    batch_norm: bool
    batch_norm_momentum: Share
    batch_norm_epsilon: Annotated[float, Field(gt=0, le=1)]
    logits_norm: bool
    initializer: Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"]

    @model_validator(mode="after")
    def _blocks_match(self) -> "ConvNetParams":
        if len(self.filters) != len(self.kernel_sizes):
            raise PydanticCustomError(
                "rule_blocks",
                "filters and kernel_sizes need the same number of entries, one a block",
            )
        return self


@dataclass(frozen=True)
class Network:
    """A network, as its file in networks/ declares it under the name NETWORK.

    Attributes:
        display_name: its name for people, in reports and MLflow.
        params: the type of its section of params.yaml, which has the file's name.
        build: makes an untrained Keras model of that section and a number of classes; the model
            takes (batch, 32, 32, 3) sharpened pixels 0..255 and gives (batch, classes) float32
            logits.
    """

    display_name: str
    params: type[Recipe]
    build: Callable[[Any, int], Any]


@cache
def network_names() -> tuple[str, ...]:
    """Return the names of all networks that there are: the files of networks/."""
    modules = pkgutil.iter_modules([str(NETWORKS_FOLDER)])
    return tuple(sorted(module.name for module in modules if not module.ispkg))


def find_network(name: str) -> Network:
    """Return the declaration of a network that there is.

    Raises:
        UserError: the file declares none.
    """
    declared = getattr(importlib.import_module(f"{NETWORKS_PACKAGE}.{name}"), "NETWORK", None)
    if not isinstance(declared, Network):
        raise UserError(
            f"{NETWORKS_FOLDER / name}.py declares no NETWORK = Network(...); CONTRIBUTING.md "
            "shows the file of a network"
        )
    return declared


def display_name(name: str) -> str:
    """Return a network's name for people."""
    return find_network(name).display_name
