"""params.yaml as typed, checked settings; every error names the key, the value and the fix."""

import itertools
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from pipeline.core.errors import UserError
from pipeline.core.files import read_yaml
from pipeline.core.recipe import Variant, resolve
from pipeline.core.sections import (
    AugmentParams,
    DataParams,
    EvaluateParams,
    Recipe,
    ReportParams,
    Section,
    TrainParams,
    rule,
)
from pipeline.data.sources import source_names
from pipeline.networks import display_name, find_network, network_names
from pipeline.settings.messages import Problem, explain
from pipeline.settings.trainings import Training

PARAMS_FILE = Path("params.yaml")
RECIPE = "recipe"
UPGRADE = (
    "If the file was written by an earlier version, `python -m pipeline upgrade` converts it and "
    "keeps your values"
)
UNKNOWN = "Correct or remove unknown keys in the file; `dvc exp run -S ++` writes any key into it"


class Params(Section):
    """All of params.yaml, with the resolved recipe of each network that has a section."""

    data: DataParams
    augment: AugmentParams
    train: TrainParams
    evaluate: EvaluateParams
    report: ReportParams = ReportParams()
    recipes: dict[str, Any]

    @model_validator(mode="after")
    def _networks_are_there(self) -> "Params":
        known, chosen = network_names(), self.train.networks
        for name in chosen:
            if name not in known:
                raise rule(
                    f"train.networks: {name!r} is not a network; known: "
                    f"{', '.join(map(_described, known))} (the files in pipeline/networks)"
                )
        if len({display_name(name) for name in chosen}) < len(chosen):
            raise rule("train.networks: two networks have the same display name")
        return self

    @model_validator(mode="after")
    def _source_is_there(self) -> "Params":
        source, known = self.data.source, source_names()
        if source not in known:
            raise rule(f"data.source: {source!r} is not a source; known: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _sizes_fit_the_images(self) -> "Params":
        side, augment = self.data.image_size, self.augment
        half = (side - 1) // 2
        most = {
            "augment.crop_pixels": (augment.crop_pixels, half),
            "augment.translate_pixels": (augment.translate_pixels, half),
            "augment.dropout_min_cells": (augment.dropout_min_cells, side),
        }
        for name in self.train.networks:
            recipe = self.recipes.get(name)
            if recipe and recipe.image_sizes:
                most[f"{name}.image_sizes"] = (recipe.image_sizes[-1][1], side)
        for key, (value, limit) in most.items():
            if value > limit:
                raise rule(f"{key} = {value}: at most {limit} with data.image_size: {side}")
        return self

    @model_validator(mode="after")
    def _watched_split_is_there(self) -> "Params":
        if self.train.watch == "validation" and self.data.validation_fraction == 0:
            raise rule(
                "train.watch: validation needs data.validation_fraction above 0; to train on all "
                "images, set train.watch: none (or test, the tutorial's protocol)"
            )
        return self

    @model_validator(mode="after")
    def _stopping_has_a_split(self) -> "Params":
        for name in self.train.networks:
            recipe = self.recipes.get(name)
            if self.train.watch == "none" and recipe and recipe.stop_after_rising is not None:
                raise rule(
                    f"{name}.stop_after_rising = {recipe.stop_after_rising} needs a loss to watch, "
                    "but train.watch is none; set it to null"
                )
        return self

    @model_validator(mode="after")
    def _scored_split_is_there(self) -> "Params":
        if self.evaluate.test:
            return self
        if self.data.validation_fraction == 0:
            raise rule("evaluate.test: false needs data.validation_fraction above 0")
        if self.train.watch == "test":
            raise rule(
                "evaluate.test: false must not read the test images, but train.watch: test scores "
                "them after each epoch; set train.watch: validation"
            )
        if self.data.split_by_seed and len(self.train.seeds) > 1:
            raise rule(
                "evaluate.test: false compares on the validation images, but data.split_by_seed: "
                "true gives each seed different ones; set it to false, or use one seed"
            )
        return self

    def recipe(self, name: str, variant: Variant = "dropblock") -> Recipe:
        """Return a network's resolved recipe, with a variant's DropBlock settings.

        Raises:
            UserError: params.yaml has no section for it.
        """
        if name not in self.recipes:
            raise UserError(f"{PARAMS_FILE} has no section `{name}`; {_way_out(name)}")
        own = self.recipes[name]
        return own.model_copy(update=resolve({RECIPE: vars(own)}, name, variant))

    def by_section(self) -> dict[str, Any]:
        """Return the values by section; each network's section is its resolved recipe."""
        shared = self.model_dump(exclude={"recipes"})
        return {**shared, **{name: recipe.model_dump() for name, recipe in self.recipes.items()}}

    @property
    def trainings(self) -> list[Training]:
        """All trainings that params.yaml asks for."""
        train = self.train
        return [
            Training(*combination)
            for combination in itertools.product(train.networks, train.variants, train.seeds)
        ]


SECTIONS: dict[str, Any] = {  # the class of each section but the networks'
    name: field.annotation for name, field in Params.model_fields.items() if name != "recipes"
}


def check_batch_size(network: str, recipe: Recipe, images: float) -> None:
    """Raise a UserError if the training images do not fill even one batch.

    Args:
        images: their number, or the most that there can be.
    """
    if recipe.batch_size > images:
        raise UserError(
            f"{network}.batch_size = {recipe.batch_size}: there are only {images} training images; "
            f"set a smaller {network}.batch_size or {RECIPE}.batch_size, or use more images "
            "(data.limit, data.validation_fraction)"
        )


def known_keys() -> dict[str, list[str]]:
    """Return the keys that each section of params.yaml may have."""
    networks = {name: list(find_network(name).params.model_fields) for name in network_names()}
    shared = dict.fromkeys(key for keys in networks.values() for key in keys)
    sections = {name: list(section.model_fields) for name, section in SECTIONS.items()}
    return {**sections, RECIPE: list(shared), **networks}


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing or not YAML, or its values are wrong (see check_params).
    """
    return check_params(read_yaml(path), path)


def check_params(values: dict[str, Any], source: Path | str = PARAMS_FILE) -> Params:
    """Check the values of a params file.

    Args:
        source: where they are from, for error messages.

    Raises:
        UserError: a key is unknown, missing, of the wrong type or out of range. All wrong keys
            are named in one message.
    """
    problems = list(_misplaced(values))
    resolvable = all(problem.kind == "extra_forbidden" for problem in problems)
    recipes = {}
    for name in network_names():
        if name in values and resolvable:
            try:
                recipes[name] = resolve_recipe(values, name)
            except ValidationError as error:
                problems += _of_recipe(error, values, name)
    sections = {key: value for key, value in values.items() if key in SECTIONS}
    try:
        params = Params.model_validate({**sections, "recipes": recipes})
    except ValidationError as error:
        problems += [Problem.of(e, e["loc"]) for e in error.errors()]
    else:
        absent = [name for name in params.train.networks if name not in values]
        problems += [
            Problem("train.networks", "rule", f"{name} has no section; {_way_out(name)}", None)
            for name in absent
        ]
    if problems:
        lines = explain(problems, known_keys())
        kinds = {problem.kind for problem in problems}
        lines += [UPGRADE] if "missing" in kinds else []
        lines += [UNKNOWN] if "extra_forbidden" in kinds and source == PARAMS_FILE else []
        raise UserError(f"{source}:\n" + "\n".join(f"  {line}" for line in lines))
    return params


def resolve_recipe(values: dict[str, Any], name: str) -> Recipe:
    """Return a network's checked recipe, without the keys of section `recipe` it does not use.

    Raises:
        ValidationError: a value is wrong.
    """
    declared, own = find_network(name).params, values.get(name) or {}
    merged = resolve(values, name)
    return declared.model_validate(
        {k: v for k, v in merged.items() if k in own or k in declared.model_fields}
    )


def _misplaced(values: dict[str, Any]) -> list[Problem]:
    """Return unknown, missing and malformed sections, and unknown keys of section `recipe`."""
    known = known_keys()
    found = [
        Problem(str(name), "extra_forbidden", "", None) for name in values if name not in known
    ]
    if RECIPE not in values:
        found.append(Problem(RECIPE, "missing", "", None))
    for name in (RECIPE, *network_names()):
        if not isinstance(values.get(name) or {}, dict):
            found.append(Problem(name, "type", "give a section with its keys", values[name]))
    shared = values.get(RECIPE)
    if isinstance(shared, dict):
        found += [
            Problem(f"{RECIPE}.{key}", "extra_forbidden", "", None)
            for key in shared
            if key not in known[RECIPE]
        ]
    return found


def _of_recipe(error: ValidationError, values: dict[str, Any], name: str) -> list[Problem]:
    """Return the errors of a resolved recipe, each with the section that its value comes from."""
    own, fields = values.get(name) or {}, find_network(name).params.model_fields
    found = []
    for e in error.errors():
        location = e["loc"]
        # A rule that involves several keys has no location; its message names them.
        keys = set(location[:1] or re.findall(r"\w+", e["msg"])) & fields.keys()
        shared = bool(keys) and not keys & own.keys()
        if shared and e["type"] == "missing":
            shared = location[0] in Recipe.model_fields
        section = RECIPE if shared else name
        found.append(Problem.of(e, (section, *location)))
    return found


def _described(network: str) -> str:
    """Return a network's name, like `model (the resnet)`."""
    shown = display_name(network)
    return network if shown == network else f"{network} (the {shown})"


def _way_out(name: str) -> str:
    return f"add one; `{name}: {{}}` is enough if the defaults in its file suit you"
