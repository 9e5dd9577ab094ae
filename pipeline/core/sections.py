"""The sections of params.yaml as types: their keys, types and ranges."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline.core.recipe import Variant, keep_prob
from pipeline.core.words import describe_dropblock

SMALLEST, LARGEST = 16, 224  # side of an image in pixels
SMALLEST_SHRUNK = 8  # side of the first epochs' images
WIDEST = 16.0  # times the tutorial's filters and hidden units
MOST_EPOCHS = 99_999  # checkpoints are named by five digits
MOST_VARIED = 0.5  # share of the images; beyond, all seeds would have the same validation images
Probability = Annotated[float, Field(ge=0, le=1)]
KeepProbability = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=10)]
Width = Annotated[float, Field(gt=0, le=WIDEST)]
Decay = Annotated[float, Field(gt=0, lt=1)]
ImageSize = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]
Pixels = Annotated[int, Field(ge=0, lt=LARGEST // 2)]  # less than half the side of an image
Seed = Annotated[int, Field(ge=0, lt=2**31)]
# The split that is scored after each epoch and decides when to stop; validation also decides which
# weights are kept.
Watch = Literal["validation", "test", "none"]


def rule(message: str) -> PydanticCustomError:
    """Return the error for a rule that involves several keys; the message must name them."""
    return PydanticCustomError("rule", message)


def _without_repeats(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise rule("no value may be listed twice")
    return values


def _sizes_rise(sizes: list[Any]) -> list[Any]:
    if not all(map(_is_size, sizes)) or any(
        before >= after
        for neighbours in pairwise(sizes)
        for before, after in zip(*neighbours, strict=True)
    ):
        raise rule(
            "give pairs [end, side], like [[0.2, 20], [0.5, 24]]: until that share of the epochs, "
            "images are that many pixels wide; both must rise, an end is between 0 and 1, a side "
            f"at least {SMALLEST_SHRUNK}"
        )
    return sizes


def _is_size(pair: Any) -> bool:
    if not isinstance(pair, list) or [type(value) for value in pair] != [float, int]:
        return False
    share, side = pair
    return 0 < share < 1 and side >= SMALLEST_SHRUNK


Distinct = AfterValidator(_without_repeats)


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversion, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataParams(Section):
    """Which images, how they are prepared and how they are split."""

    source: str  # the name of a file in data/sources
    path: str | None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    image_size: ImageSize = 32
    fit: Literal["crop", "pad", "stretch"] = "crop"
    sharpen: bool
    validation_fraction: Share
    split_by_seed: bool
    duplicate_correlation: Annotated[float, Field(gt=0, le=1)] | None
    limit: Count | None
    seed: Seed

    @model_validator(mode="after")
    def _there_is_something_to_vary(self) -> "DataParams":
        if self.split_by_seed and not 0 < self.validation_fraction <= MOST_VARIED:
            raise rule("split_by_seed needs a validation_fraction above 0 and at most 0.5")
        return self


class AugmentParams(Section):
    """Random changes of the training images."""

    policy: Literal["tutorial", "translate"]
    max_operations: Annotated[int, Field(ge=0, le=3)]
    crop_pixels: Pixels
    flip_probability: Probability
    alternate_flips: bool
    translate_pixels: Pixels
    dropout_fraction: Probability
    dropout_grid_min: Annotated[float, Field(gt=0, le=1)]
    dropout_grid_max: Annotated[float, Field(gt=0, le=1)]
    dropout_min_cells: Annotated[int, Field(ge=1, le=LARGEST)]
    dropout_per_channel: Probability

    @model_validator(mode="after")
    def _grid_is_a_range(self) -> "AugmentParams":
        if self.dropout_grid_min > self.dropout_grid_max:
            raise rule("dropout_grid_min must not be above dropout_grid_max")
        return self


class TrainParams(Section):
    """Which trainings to run, and what they share besides the recipe."""

    networks: Annotated[list[str], Field(min_length=1), Distinct]
    variants: Annotated[list[Variant], Field(min_length=1), Distinct]
    seeds: Annotated[list[Seed], Field(min_length=1), Distinct]
    watch: Watch
    reshuffle: bool
    adam_beta_1: Decay
    adam_beta_2: Decay
    adam_epsilon: Annotated[float, Field(gt=0, le=1)]
    clip_norm: Annotated[float, Field(gt=0)]
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
    jit_compile: bool
    deterministic: bool


class EvaluateParams(Section):
    """How the networks are scored."""

    batch_size: Count
    top_k: Count
    test: bool
    flip: bool


class ReportParams(Section):
    """What the report may conclude."""

    margin: Annotated[float, Field(gt=0, le=100)] | None = None


class Recipe(Section):
    """How any network is trained. A network's type adds its own keys, with or without defaults."""

    batch_size: Annotated[int, Field(ge=2)]
    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
    image_sizes: Annotated[list[Any], AfterValidator(_sizes_rise)]  # [share, side] pairs
    optimizer: Literal["adam", "sgd", "muon"]
    learning_rate: Rate
    muon_learning_rate: Rate
    momentum: Share
    muon_momentum: Share
    weight_decay: Probability
    muon_weight_decay: Probability
    muon_rescale: bool
    schedule: Literal["exponential", "linear"]
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)]
    warmup: Share
    cooldown: Annotated[float, Field(gt=0, le=1)]
    label_smoothing: Share
    stop_after_rising: Count | None

    @model_validator(mode="after")
    def _schedule_fits(self) -> "Recipe":
        if self.schedule == "linear" and self.warmup + self.cooldown > 1:
            raise rule("warmup and cooldown together must not be above 1")
        return self

    def keep_prob(self, epoch: int) -> float:
        """Return DropBlock's keep probability in an epoch, counted from 0; 1 without DropBlock."""
        return keep_prob(vars(self), epoch)

    @property
    def dropblock(self) -> str:
        """A description of its DropBlock, like `5x5 blocks, keep 1 to 0.95`."""
        return describe_dropblock(vars(self))


class DropBlockParams(Recipe):
    """The recipe of a network with DropBlock."""

    drop_block_size: Count
    drop_block_oversize: Literal["skip", "clamp"]
    conv_keep_start: KeepProbability
    conv_keep_step: Probability
    conv_keep_end: KeepProbability

    @model_validator(mode="after")
    def _keep_falls(self) -> "DropBlockParams":
        if self.conv_keep_end > self.conv_keep_start:
            raise rule("conv_keep_end must not be above conv_keep_start")
        return self


class LayerParams(Recipe):
    """The recipe of a network whose layers have a width, an initializer and batch norms."""

    width: Width
    batch_norm: bool
    batch_norm_momentum: Share
    batch_norm_epsilon: Annotated[float, Field(gt=0, le=1)]
    initializer: Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "dirac"]


class ConvNetParams(LayerParams, DropBlockParams):
    """A network of convolutional blocks and hidden layers, like both of the tutorial's."""

    filters: Annotated[list[Count], Field(min_length=1)]
    kernel_sizes: Annotated[list[Count], Field(min_length=1)]
    pool_size: Count
    pool_stride: Count
    hidden_units: list[Count]
    dense_keep: KeepProbability
    logits_norm: bool

    @model_validator(mode="after")
    def _blocks_match(self) -> "ConvNetParams":
        if len(self.filters) != len(self.kernel_sizes):
            raise rule("filters and kernel_sizes need the same number of entries, one per block")
        return self
