"""params.yaml as typed, checked settings; every error names the key, the value and the fix."""

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, ValidationError, create_model, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.declarations import (
    Count,
    Probability,
    Recipe,
    Section,
    display_name,
    find_network,
    network_names,
)
from pipeline.core.errors import UserError
from pipeline.core.param_errors import explain_all
from pipeline.core.trials import Trial, Variant

PARAMS_FILE = Path("params.yaml")

MOST_VARIED = 0.5  # of the training images; beyond, all seeds would have the same validation images

Decay = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
# Which split is scored after each epoch, and decides when to stop and which weights are kept.
Watch = Literal["validation", "test", "none"]


def _without_repeats(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("rule_repeats", "each may stand in the list only once")
    return values


Distinct = AfterValidator(_without_repeats)


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
    split_by_seed: bool
    duplicate_correlation: Annotated[float, Field(gt=0, le=1)] | None
    limit: Annotated[int, Field(ge=1)] | None
    seed: Seed

    @model_validator(mode="after")
    def _there_is_something_to_vary(self) -> "DataParams":
        if self.split_by_seed and not 0 < self.validation_fraction <= MOST_VARIED:
            raise PydanticCustomError(
                "rule_split",
                "split_by_seed takes a validation_fraction above 0 and at most 0.5",
            )
        return self


class AugmentParams(Section):
    """Random changes of the training images."""

    policy: Literal["tutorial", "translate"]
    max_operations: Annotated[int, Field(ge=0, le=3)]
    crop_pixels: Annotated[int, Field(ge=0, le=15)]
    resize: Literal["area", "bilinear"]
    flip_probability: Probability
    alternate_flips: bool
    translate_pixels: Annotated[int, Field(ge=0, le=15)]
    dropout_fraction: Probability
    dropout_grid_min: Annotated[float, Field(gt=0, le=1)]
    dropout_grid_max: Annotated[float, Field(gt=0, le=1)]
    dropout_min_cells: Annotated[int, Field(ge=1, le=32)]
    dropout_per_channel: Probability

    @model_validator(mode="after")
    def _grid_is_a_range(self) -> "AugmentParams":
        if self.dropout_grid_min > self.dropout_grid_max:
            raise PydanticCustomError(
                "rule_grid", "dropout_grid_min must not be above dropout_grid_max"
            )
        return self


class TrainParams(Section):
    """What all trainings share, and which ones there are."""

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
    """How the report looks."""

    confused_pairs: Count
    accuracy_levels: Annotated[list[Probability], Field(min_length=1)]
    experiments_x: Annotated[
        str, Field(pattern=r"^\w+\.\w+$", description="a key like model.width")
    ]
    reference: Annotated[str, Field(min_length=1)] | None
    figure_dpi: Annotated[int, Field(ge=50, le=600)]


class Params(Section):
    """All of params.yaml; `with_networks` adds the sections of the networks that there are."""

    data: DataParams
    augment: AugmentParams
    train: TrainParams
    evaluate: EvaluateParams
    report: ReportParams

    @model_validator(mode="after")
    def _networks_are_there(self) -> "Params":
        known, chosen = network_names(), self.train.networks
        for name in chosen:
            if name not in known:
                raise PydanticCustomError(
                    "rule_networks",
                    f"train.networks: {name!r} is no network; there are {', '.join(known)} (the "
                    "files of pipeline/networks)",
                )
            if getattr(self, name) is None:
                raise PydanticCustomError(
                    "rule_networks", f"train.networks names {name}, whose section {name} is missing"
                )
        if len({display_name(name) for name in chosen}) < len(chosen):
            raise PydanticCustomError(
                "rule_networks", "train.networks: two of them have the same display name"
            )
        return self

    @model_validator(mode="after")
    def _watched_split_is_there(self) -> "Params":
        if self.train.watch == "validation" and self.data.validation_fraction == 0:
            raise PydanticCustomError(
                "rule_watch",
                "train.watch: validation needs data.validation_fraction above 0; to train on all "
                "images take train.watch: none (or test, the tutorial's protocol)",
            )
        return self

    @model_validator(mode="after")
    def _scored_split_is_there(self) -> "Params":
        if self.evaluate.test:
            return self
        if self.data.validation_fraction == 0:
            raise PydanticCustomError(
                "rule_test", "evaluate.test: false needs data.validation_fraction above 0"
            )
        if self.train.watch == "test":
            raise PydanticCustomError(
                "rule_test", "evaluate.test: false leaves the test images alone, train.watch: test "
                "scores them after each epoch; take train.watch: validation",
            )  # fmt: skip
        if self.data.split_by_seed and len(self.train.seeds) > 1:
            raise PydanticCustomError(
                "rule_test", "evaluate.test: false compares on the validation images, which are "
                "others for each seed with data.split_by_seed: true; take false, or one seed",
            )  # fmt: skip
        return self

    def network(self, name: str) -> Recipe:
        """Return the section of one network.

        Raises:
            UserError: params.yaml has none.
        """
        if (section := getattr(self, name, None)) is None:
            raise UserError(f"{PARAMS_FILE}: section {name} is missing, which network {name} needs")
        return section

    @property
    def trials(self) -> list[Trial]:
        """All trainings that params.yaml asks for."""
        train = self.train
        return [
            Trial(*combination)
            for combination in itertools.product(train.networks, train.variants, train.seeds)
        ]


def with_networks() -> type[Params]:
    """Return Params with a section for each network; that of one not trained may be absent."""
    sections = {name: (find_network(name).params, None) for name in network_names()}
    return cast("type[Params]", create_model("Params", __base__=Params, **cast(Any, sections)))


def known_keys() -> dict[str, list[str]]:
    """Return the keys of each section of params.yaml."""
    sections = with_networks().model_fields
    return {
        name: list(cast(Any, field.annotation).model_fields) for name, field in sections.items()
    }


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
    schema = with_networks()
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = explain_all(error.errors(), schema.model_json_schema())
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
