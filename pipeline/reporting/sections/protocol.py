"""How the numbers were produced: data, splits, choice of epoch, software, hardware, commit."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from pipeline.reporting import tutorial
from pipeline.reporting.findings import Findings, stops
from pipeline.reporting.formats import counted, listed
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section
from pipeline.settings.edits import as_override
from pipeline.settings.names import nearest_preset
from pipeline.settings.params import Params
from pipeline.settings.trainings import DIGEST_SHOWN

NAMED = 4  # changed params that the page's top lists
ABOUT = "How the data were split, how the epoch was chosen, and the machine and code used."

TEST_STOPPED = (
    "**The test images were scored after each epoch and decided when to stop, and the last epoch's "
    "weights are scored, so the test scores are too optimistic{as_published}.**"
)
TEST_SEEN = (
    "**The test images were scored after each epoch{as_published}.** They did not choose the "
    "epoch: the number of epochs was fixed beforehand, and the last epoch's weights are scored."
)
AS_PUBLISHED = "; there is no validation split: the tutorial's own protocol"
VALIDATION_WATCHED = (
    "The validation images chose the epoch whose weights are kept{stopped}; the test images were "
    "{read}."
)
READ_ONCE, NOT_READ = "read once, at the end", "not read"
AND_STOPPED = " and stopped the training"
NOTHING_WATCHED = (
    "Only training images were scored during training: the number of epochs was fixed beforehand, "
    "and the last epoch's weights are scored."
)
SPLIT = (
    "The split into training and validation images was drawn once (`data.seed` {seed}) and is the "
    "same for all seeds and networks, so the intervals do not include the effect of another split; "
    "with `data.split_by_seed: true` they do."
)
SPLIT_BY_SEED = (
    "Each seed holds out different training images for validation (`data.split_by_seed`), the same "
    "for all networks, so the intervals over seeds include the effect of the split."
)


def describe_run(results: Results, params: Params) -> str:
    """Say what this run is in a line: data, preset and what differs from it, date, commit.

    Not the experiment's name: DVC gives it after the run, or to another run with these results.
    """
    preset, differing = nearest_preset(params)
    changes = [f"{key} {as_override(value)}" for key, value in differing.items()]
    if len(changes) > NAMED:
        changes = [counted(len(changes), "other param")]
    known = sorted({_shown(commit) for commit in results.metrics["git_commit"]})
    said = [
        f"Data: {results.metadata['params']['source']}",
        f"params: preset {preset}" + (f" with {listed(changes)}" if changes else ""),
        dates(results),
        f"commit {', '.join(known)}",
    ]
    return "; ".join(said) + "."


def dates(results: Results) -> str:
    """Say on which days (UTC) the trainings ended."""
    ended = results.metrics["ended"].str[:10]
    return f"trained {' to '.join(sorted({ended.min(), ended.max()}))}"


def make(findings: Findings) -> Section:
    """List the protocol."""
    lines = protocol(findings.results, findings.params)
    return Section(
        "Protocol",
        ABOUT,
        ["\n".join(f"- {line}" for line in lines), *differences(findings.params)],
    )


def protocol(results: Results, params: Params) -> list[str]:
    """List data, splits, choice of epoch, software, hardware and commit."""
    metadata = results.metadata
    images, digest = metadata["images"], metadata["digest"][:DIGEST_SHOWN]
    return [
        f"Data: {metadata['params']['source']}, prepared digest {digest}; {images['train']:,} "
        f"training, {images['val']:,} validation, {images['test']:,} test images of "
        f"{len(metadata['class_names'])} classes.",
        *([_split(metadata["params"])] if images["val"] else []),
        describe_watching(results.watched, stops(params), images["val"], results.scored),
        sizes(results, params),
        f"Software: {distinct(results, _software)}.",
        f"Hardware: {distinct(results, _hardware)}.",
        f"Trained at git commit {'; '.join(commits(results))}. `python -m pipeline lookup` names "
        "the experiments that have these trainings.",
    ]


def distinct(results: Results, describe: Callable[[dict[str, Any]], str]) -> str:
    """Describe all trainings, each description once."""
    return "; or ".join(dict.fromkeys(map(describe, results.metrics.to_dict("records"))))


def _software(row: dict[str, Any]) -> str:
    return (
        f"TensorFlow {row['tensorflow']}, Keras {row['keras']}, Python "
        f"{row['machine']['python']}; precision {row['precision']}"
    )


def _hardware(row: dict[str, Any]) -> str:
    machine = row["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}; devices: {', '.join(row['devices'])}"
    )


def describe_watching(
    watched: str | None, stops: bool, validation_images: int, scored: str = "test"
) -> str:
    """Say which images were scored after each epoch, and what they decided."""
    if watched is None:
        return NOTHING_WATCHED
    if watched == "val":
        read = READ_ONCE if scored == "test" else NOT_READ
        return VALIDATION_WATCHED.format(stopped=AND_STOPPED if stops else "", read=read)
    said = TEST_STOPPED if stops else TEST_SEEN
    return said.format(as_published="" if validation_images else AS_PUBLISHED)


def _split(data: dict[str, Any]) -> str:
    return SPLIT_BY_SEED if data["split_by_seed"] else SPLIT.format(seed=data["seed"])


def sizes(results: Results, params: Params) -> str:
    """Say how wide the networks are and for how many epochs they may train."""
    recipes = [params.recipe(network) for network in params.train.networks]
    pairs = zip(results.networks, recipes, strict=True)
    widths = [f"{r.width} ({name})" for name, r in pairs if hasattr(r, "width")]
    start = f"Widths: {', '.join(widths)}; at" if widths else "At"
    return f"{start} most {listed([str(r.epochs) for r in recipes])} epochs."


def commits(results: Results) -> list[str]:
    """Return the commits that the trainings ran at, with the files that had uncommitted changes."""
    found = set()
    for row in results.metrics.to_dict("records"):
        commit = _shown(row["git_commit"])
        if row["git_dirty"] == "true":
            commit += f" with changes in {row['git_changes'] or 'unnamed files'}"
        found.add(commit)
    return sorted(found)


def _shown(commit: str) -> str:
    return commit[:10] or "no git"


def differences(params: Params) -> list[Part]:
    """List all params that differ from the tutorial's."""
    found = [(key, *map(as_override, values)) for key, *values in tutorial.differences(params)]
    if not found:
        return ["All params have the tutorial's values."]
    table = pd.DataFrame(found, columns=["param", "here", "in the tutorial"]).set_index("param")
    return ["### Differences from the tutorial", table]
