"""How many images are duplicates, and the score without them."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import with_differences
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section

ABOUT = "How many test images repeat a training image, and how that affects the accuracy."

NOTE = (
    "*Without duplicates* leaves out test images that repeat a training or validation image, and "
    "keeps only the first of each group of duplicate test images."
)


def make(findings: Findings) -> Section:
    """Show the score with and without duplicates."""
    results = findings.results
    parts: list[Part] = [describe_duplicates(results.metadata)]
    if findings.comparisons and not results.images.unique.all():
        parts += [duplicates_table(results, list(findings.comparisons)), NOTE]
    return Section("Duplicates", ABOUT, parts)


def describe_duplicates(metadata: dict[str, Any]) -> str:
    """Say how many duplicates there are, and by which rule."""
    found, threshold = metadata["duplicates"], metadata["params"]["duplicate_correlation"]
    rule = (
        "images are duplicates only if all pixels are equal (data.duplicate_correlation is null)"
        if threshold is None
        else "images are duplicates if they are equal, or if their fine details (pixels minus "
        f"local means) correlate by {threshold} or more and their coarse pictures (4x4 mean "
        "colours) by 0.95 or more"
    )
    known = (
        " For comparison, ciFAIR (by a network's features and by eye) found that 891 of the test "
        "images of CIFAR-100 have a duplicate in the training set and 104 one in the test set."
        if metadata["params"]["source"] == "cifar100"
        else ""
    )
    kept = ", all of them kept in the training split" if found["within_training"] else ""
    return (
        f"{found['within_training']:,} training and validation images duplicate another "
        f"one{kept}; {found['test_of_training']:,} test images repeat a training or "
        f"validation image, and {found['within_test']:,} have a duplicate in the test set. "
        f"The rule: {rule}.{known}"
    )


def duplicates_table(results: Results, others: list[str]) -> pd.DataFrame:
    """Return the test accuracy on all images, without duplicates, and on the duplicates alone."""
    unique = results.images.unique
    rows = {f"all {len(unique):,} test images": np.ones(len(unique), bool)}
    rows[f"without duplicates, {unique.sum():,}"] = unique
    rows[f"only the duplicates, {(~unique).sum():,}"] = ~unique
    hits = {name: results.hits(name) for name in (results.reference, *others)}
    table = {
        label: with_differences(
            {name: values[:, chosen] for name, values in hits.items()},
            lambda values: f"{100 * values.mean():.2f} %",
        )
        for label, chosen in rows.items()
        if chosen.any()
    }
    return pd.DataFrame(table).T.rename_axis("")
