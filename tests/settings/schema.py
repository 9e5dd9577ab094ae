"""The keys of params.yaml with the JSON schemas of their values, generated from the types."""

from pipeline.core.sections import Recipe
from pipeline.networks import find_network
from pipeline.settings.params import SECTIONS

# A network's key is where the quick preset has it: shared keys are in `recipe`.
SHARED = (
    *Recipe.model_fields,
    "dense_keep",
    "batch_norm",
    "batch_norm_momentum",
    "batch_norm_epsilon",
    "initializer",
)
TYPES = {**SECTIONS, "baseline": find_network("baseline").params,
         "model": find_network("model").params}  # fmt: skip
FIELDS = {
    f"{'recipe' if section not in SECTIONS and key in SHARED else section}.{key}": field
    for section, kind in TYPES.items()
    for key, field in kind.model_json_schema()["properties"].items()
}
