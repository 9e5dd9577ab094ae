"""params.yaml as typed, checked settings; every error names the key, the value and the fix."""

import argparse
import itertools
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UserError
from pipeline.param_errors import explain

PARAMS_FILE = Path("params.yaml")

Network = Literal["baseline", "model"]
NETWORKS: tuple[Network, ...] = get_args(Network)
DISPLAY_NAMES: dict[Network, str] = {"baseline": "baseline", "model": "resnet"}

# `nodrop` is the ablation: the same network and recipe without DropBlock.
Variant = Literal["dropblock", "nodrop"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
WITHOUT_DROP_BLOCK = {"conv_keep_start": 1.0, "conv_keep_step": 0.0, "conv_keep_end": 1.0}

Probability = Annotated[float, Field(ge=0, le=1)]
KeepProbability = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Trial(NamedTuple):
    """One training of the comparison."""

    network: Network
    variant: Variant
    seed: int

    @property
    def label(self) -> str:
        """Its name in files and stages, like `model-dropblock-0`."""
        return f"{self.network}-{self.variant}-{self.seed}"

    @classmethod
    def parse(cls, label: str) -> "Trial | None":
        """Read a label; None where it is none."""
        found = re.fullmatch(rf"({'|'.join(NETWORKS)})-({'|'.join(VARIANTS)})-(\d+)", label)
        return cls(found[1], found[2], int(found[3])) if found else None  # type: ignore[arg-type]


TRIAL_HELP = "network-variant-seed, like model-dropblock-0"


def trial_argument(label: str) -> Trial:
    """Read a label on the command line, for argparse."""
    trial = Trial.parse(label)
    if trial is None:
        raise argparse.ArgumentTypeError(
            f"{label!r} is no training; give {TRIAL_HELP} "
            f"(networks: {', '.join(NETWORKS)}; variants: {', '.join(VARIANTS)})"
        )
    return trial


def _without_repeats(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("rule_repeats", "each may stand in the list only once")
    return values


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversion, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataParams(Section):
    """Which images, how they are prepared and how they are split."""

    source: Literal["digits", "cifar100"]
    path: str | None
    url: Annotated[
        str,
        Field(
            pattern=r"^https?://[^/@]+(/|$)",
            description="an http or https address without user or password (MLflow keeps it)",
        ),
    ]
    sharpen: bool
    validation_fraction: Annotated[float, Field(ge=0, lt=1)]
    duplicate_correlation: Annotated[float, Field(gt=0, le=1)] | None
    limit: Annotated[int, Field(ge=1)] | None
    seed: Seed


class AugmentParams(Section):
    """Random changes of the training images."""

    max_operations: Annotated[int, Field(ge=0, le=3)]
    crop_pixels: Annotated[int, Field(ge=0, le=15)]
    flip_probability: Probability
    dropout_fraction: Probability
    dropout_grid_min: Annotated[float, Field(gt=0, le=1)]
    dropout_grid_max: Annotated[float, Field(gt=0, le=1)]
    dropout_per_channel: Probability

    @model_validator(mode="after")
    def _grid_is_a_range(self) -> "AugmentParams":
        if self.dropout_grid_min > self.dropout_grid_max:
            raise PydanticCustomError(
                "rule_grid", "dropout_grid_min must not be above dropout_grid_max"
            )
        return self


class NetworkParams(Section):
    """One network and its recipe; the sections `baseline` and `model` have the same keys."""

    width: Annotated[float, Field(gt=0, le=16)]
    filters: Annotated[list[Count], Field(min_length=1)]
    kernel_sizes: Annotated[list[Count], Field(min_length=1)]
    pool_size: Count
    pool_stride: Count
    hidden_units: list[Count]
    batch_norm: bool
    batch_norm_momentum: Annotated[float, Field(ge=0, lt=1)]
    batch_norm_epsilon: Annotated[float, Field(gt=0, le=1)]
    initializer: Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"]
    drop_block_size: Count
    drop_block_oversize: Literal["skip", "clamp"]
    conv_keep_start: KeepProbability
    conv_keep_step: Annotated[float, Field(ge=0, le=1)]
    conv_keep_end: KeepProbability
    dense_keep: KeepProbability
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Count
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)]
    stop_after_rising: Count

    @model_validator(mode="after")
    def _blocks_match(self) -> "NetworkParams":
        if len(self.filters) != len(self.kernel_sizes):
            raise PydanticCustomError(
                "rule_blocks",
                "filters and kernel_sizes need the same number of entries, one a block",
            )
        if self.conv_keep_end > self.conv_keep_start:
            raise PydanticCustomError(
                "rule_keep", "conv_keep_end must not be above conv_keep_start"
            )
        return self


class ModelParams(NetworkParams):
    """The resnet and its recipe."""

    skip_connections: bool


class TrainParams(Section):
    """What both trainings share."""

    variants: Annotated[list[Variant], Field(min_length=1), AfterValidator(_without_repeats)]
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_without_repeats)]
    adam_beta_1: Decay
    adam_beta_2: Decay
    adam_epsilon: Annotated[float, Field(gt=0, le=1)]
    clip_norm: Annotated[float, Field(gt=0)]
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"]
    jit_compile: bool
    deterministic: bool


class EvaluateParams(Section):
    """How the test set is scored."""

    batch_size: Count
    top_k: Count


class ReportParams(Section):
    """How the report looks."""

    confused_pairs: Count
    accuracy_levels: Annotated[list[Probability], Field(min_length=1)]
    experiments_x: Annotated[
        str, Field(pattern=r"^\w+\.\w+$", description="a key like model.width")
    ]
    bootstrap_samples: Annotated[int, Field(ge=1000)]
    figure_dpi: Annotated[int, Field(ge=50, le=600)]


class Params(Section):
    """All of params.yaml."""

    data: DataParams
    augment: AugmentParams
    baseline: NetworkParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    report: ReportParams

    def network(self, name: Network) -> NetworkParams:
        """Return the section of one network."""
        return self.model if name == "model" else self.baseline

    def recipe(self, trial: Trial) -> NetworkParams:
        """Return the section of a trial's network, DropBlock switched off where it is ablated."""
        section = self.network(trial.network)
        return section.model_copy(update=WITHOUT_DROP_BLOCK if trial.variant == "nodrop" else {})

    @property
    def trials(self) -> list[Trial]:
        """All trainings that params.yaml asks for."""
        return [
            Trial(*combination)
            for combination in itertools.product(NETWORKS, self.train.variants, self.train.seeds)
        ]


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing or not YAML, or its values are wrong (see check_params).
    """
    return check_params(read_yaml(path), path)


def check_params(values: dict[str, Any], path: Path = PARAMS_FILE) -> Params:
    """Check the values of a params file.

    Raises:
        UserError: a key is unknown, missing, of the wrong type or out of range. All wrong keys
            are named in one message.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = [explain(details, Params.model_json_schema()) for details in error.errors()]
        raise UserError(f"{path}:\n" + "\n".join(f"  {line}" for line in lines)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; duplicate keys and syntax errors are UserErrors with their line."""
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} not found; run this in the project's folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {_yaml_problem(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold sections like `model:`, got {values!r}")
    return values


def _yaml_problem(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem
