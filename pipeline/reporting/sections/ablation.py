"""Like with like: comparisons with DropBlock or compute held equal."""

import pandas as pd

from pipeline.core.recipe import CHANGES, Variant
from pipeline.core.records import SPLIT_NAMES
from pipeline.core.words import describe_dropblock
from pipeline.reporting.comparison import paired_differences
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import (
    accuracy_with_interval,
    all_networks,
    in_points,
    with_differences,
)
from pipeline.reporting.results import EQUAL, Results
from pipeline.reporting.section import Part, Section

TITLE = "Like with like"
ABOUT = "What remains of the difference when DropBlock or compute is the same."
ABOUT_ONE = "What DropBlock adds."

LABELS: dict[Variant, str] = {
    "dropblock": "each its own DropBlock",
    "nodrop": "without DropBlock",
    "unitdrop": f"{describe_dropblock(CHANGES['unitdrop'])}, if the network has DropBlock",
}
TABLE_NOTE = (
    "{scored} accuracy by network and kind of DropBlock. A difference from the {reference} "
    "*without DropBlock* comes from everything else: architecture, width, epochs and compute. "
    "{skip}Rows *minus without* show what DropBlock adds to each network, and how much more than "
    "to the {reference}."
)
SKIP = "`dvc exp run -S {section}.skip_connections=false` removes only the skip connections. "
NO_TABLE = (
    "To see what DropBlock contributes, run `dvc exp run -S "
    "'train.variants=[dropblock,nodrop,unitdrop]'`. This also trains {which} twice more: without "
    "DropBlock, and with DropBlock of {equal}, throughout."
)


def make(findings: Findings) -> Section | None:
    """Show the networks with DropBlock held equal, and how to make their compute equal."""
    parts = [*ablation(findings), *as_expensive(findings)]
    about = ABOUT if len(findings.results.networks) > 1 else ABOUT_ONE
    return Section(TITLE, about, parts) if parts else None


def unequal(findings: Findings, with_section: bool) -> list[str]:
    """Say in what the networks of the headline differ besides architecture.

    Args:
        with_section: whether the page has this module's section.
    """
    params, results = findings.params, findings.results
    if len(results.networks) < 2 or not findings.comparisons:
        return []
    variant = findings.everything.variants[0]
    recipes = [params.recipe(network, variant) for network in params.train.networks]
    pairs = zip(results.networks, recipes, strict=True)
    said = [f"{recipe.dropblock} in the {name}" for name, recipe in pairs]
    if len({recipe.dropblock for recipe in recipes}) == 1:
        said = [f"{recipes[0].dropblock} in {all_networks(results)}"]
    text = (
        "The headline compares networks with their recipes, not only architectures (DropBlock: "
        f"{'; '.join(said)})."
    )
    if with_section:
        text += f" Section *{TITLE}* compares them with other factors equal, or says how to."
    return [text]


def ablation(findings: Findings) -> list[Part]:
    """Show the networks by variant of DropBlock, or say how to train the variants."""
    everything = findings.everything
    if len(everything.variants) < 2:
        recipes = map(findings.params.recipe, findings.params.train.networks)
        with_keys = [hasattr(recipe, "conv_keep_start") for recipe in recipes]
        if everything.variants != ("dropblock",) or not any(with_keys):
            return []  # all variants would be the same training
        which = all_networks(everything) if all(with_keys) else "the networks with DropBlock"
        return [NO_TABLE.format(which=which, equal=describe_dropblock(CHANGES["unitdrop"]))]
    title = "### The architecture, and what DropBlock adds"
    parts: list[Part] = [title, ablation_table(everything)]
    if len(everything.networks) > 1:
        params = findings.params
        skips = [
            n for n in params.train.networks if getattr(params.recipe(n), "skip_connections", False)
        ]
        skip = SKIP.format(section=skips[0]) if skips else ""
        scored = SPLIT_NAMES[everything.scored].capitalize()
        note = TABLE_NOTE.format(scored=scored, reference=everything.reference, skip=skip)
        parts.append(note)
    return parts


def ablation_table(results: Results) -> pd.DataFrame:
    """Return the accuracy of each network by variant of DropBlock, and the differences."""
    names = results.networks
    hits = {v: {n: results.of(v).hits(n) for n in names} for v in results.variants}
    table = {
        LABELS[v]: with_differences(found, accuracy_with_interval) for v, found in hits.items()
    }
    if without := hits.pop("nodrop", None):
        for variant, found in hits.items():
            gained = {name: paired_differences(without[name], found[name]) for name in names}
            table[f"{LABELS[variant]}, minus without"] = with_differences(gained, in_points)
    return pd.DataFrame(table).T.rename_axis("")


def as_expensive(findings: Findings) -> list[Part]:
    """Say how the networks' compute differs, unless it is equal."""
    results = findings.results
    pflop = results.means["pflop"]
    costly, cheap = str(pflop.idxmax()), str(pflop.idxmin())
    if pflop[costly] <= EQUAL * pflop[cheap]:
        return []
    sections, times = results.sections, pflop[costly] / pflop[cheap]
    match = f"python -m pipeline match {sections[cheap]} --to {sections[costly]}"
    if hasattr(findings.params.recipe(sections[cheap]), "width"):
        way = (
            f"`{match}` finds the width at which both take the same; `--by epochs` finds the "
            "number of epochs."
        )
    else:
        way = f"`{match} --by epochs` finds the number of epochs at which both take the same."
    return [
        "### Equal compute",
        f"Training the {costly} takes {times:.1f} times the compute of training the {cheap}. {way}",
    ]
