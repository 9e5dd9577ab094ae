"""Test images that tell the networks apart, and those that none of them gets right."""

import numpy as np

from pipeline.core.files import PREPARED
from pipeline.core.records import Images, Prepared
from pipeline.reporting.findings import Findings
from pipeline.reporting.results import Results
from pipeline.reporting.section import Gallery, Part, Picture, Section

TITLE = "Test images"
ABOUT = "Images that no training gets right{}."
APART = ", and those on which the networks differ most"
NOT_SCORED = "The test images were not scored."

SHOWN = 7  # images in each row
FREE = ("digits",)  # sources whose licence allows their images to be published
NOTE = (
    "Each network's answer and confidence are from its probabilities, averaged over its seeds. The "
    "images are shown as prepared."
)
ELSEWHERE = (
    "The images are in [images.html](images.html). They are not part of this page, and published "
    "reports leave them out: the licence of source {source} is not known to allow it."
)


def make(findings: Findings) -> Section:
    """Show the images; if they must not be published, only say where they are."""
    source = findings.results.metadata["params"]["source"]
    if source in FREE:
        return Section(TITLE, about(findings), galleries(findings))
    return Section(TITLE, about(findings), [ELSEWHERE.format(source=source)])


def about(findings: Findings) -> str:
    """Say which images are shown."""
    if findings.results.scored != "test":
        return NOT_SCORED
    return ABOUT.format(APART if findings.comparisons else "")


def galleries(findings: Findings) -> list[Part]:
    """Return a row of images for each network that is ahead on them, and one of the hardest."""
    results = findings.results
    images = Prepared(PREPARED)["test"]
    parts: list[Part] = [NOTE]
    for name in findings.comparisons:
        for better, worse in ((name, results.reference), (results.reference, name)):
            chosen = told_apart(results, better, worse)[:SHOWN]
            parts += [f"### The {better} gives the true class more probability than the {worse}"]
            parts += _row(results, images, chosen, [better, worse])
    parts += ["### Wrong in every training"]
    return [*parts, *_row(results, images, never_right(results)[:SHOWN], list(results.networks))]


def told_apart(results: Results, better: str, worse: str) -> np.ndarray:
    """Return the images to whose class one network gives more probability, most first."""
    lead = _of_true_class(results, better) - _of_true_class(results, worse)
    order = np.argsort(-lead, kind="stable")
    return order[lead[order] > 0]


def never_right(results: Results) -> np.ndarray:
    """Return the images that every training gets wrong, that of least probability first."""
    hits = np.concatenate([results.hits(name) for name in results.networks])
    wrong = np.flatnonzero(~hits.any(axis=0))
    likely = np.mean([_of_true_class(results, name) for name in results.networks], axis=0)
    return wrong[np.argsort(likely[wrong], kind="stable")]


def _of_true_class(results: Results, name: str) -> np.ndarray:
    labels = results.images.labels
    return results.probabilities[name][np.arange(len(labels)), labels]


def _row(results: Results, images: Images, chosen: np.ndarray, names: list[str]) -> list[Part]:
    """Return images with their label and what the networks say; "None." if there are none."""
    if not len(chosen):
        return ["None."]
    classes = results.metadata["class_names"]
    pictures = []
    for i, pixels in zip(chosen, images.read(chosen), strict=True):
        lines = [f"label: {classes[results.images.labels[i]]}"]
        for name in names:
            values = results.probabilities[name][i]
            lines.append(f"{name}: {classes[values.argmax()]}, {100 * values.max():.0f} %")
        pictures.append(Picture(pixels, lines))
    return [Gallery(pictures)]
