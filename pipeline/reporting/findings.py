"""Everything that the report's sections show, computed once."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.reporting.comparison import Comparison, compare
from pipeline.reporting.equivalence import Equivalence, equivalence
from pipeline.reporting.intervals import interval
from pipeline.reporting.p_values import max_t_p_values
from pipeline.reporting.results import Results, load_results
from pipeline.settings.identity import setting_of
from pipeline.settings.params import Params


@dataclass(frozen=True)
class Findings:
    """The results of this run, and the comparisons of its networks.

    Attributes:
        everything: the results of all variants.
        results: the results of the first variant, which the report is about.
        comparisons: each other network's comparison with the first network, by name.
        alike: whether they are alike within the declared margin, by name; empty without a margin.
    """

    params: Params
    everything: Results
    results: Results
    comparisons: dict[str, Comparison]
    alike: dict[str, Equivalence] = field(default_factory=dict)

    @property
    def test_stopped(self) -> bool:
        """Whether test images decided when trainings stopped."""
        return self.results.watched == "test" and stops(self.params)


def stops(params: Params) -> bool:
    """Whether a training may end before its last epoch."""
    recipes = map(params.recipe, params.train.networks)
    return any(recipe.stop_after_rising is not None for recipe in recipes)


def find(params: Params) -> Findings:
    """Load the results, and compare them.

    Raises:
        UserError: results are missing, or belong to different data.
    """
    everything = load_results(params)
    results = everything.of(everything.variants[0])
    comparisons, margin = compare_networks(results), params.report.margin
    tested = {n: equivalence(c, margin) for n, c in comparisons.items()} if margin else {}
    alike = {name: found for name, found in tested.items() if found}
    return Findings(params, everything, results, comparisons, alike)


def compare_networks(results: Results) -> dict[str, Comparison]:
    """Compare each network with the first, seed by seed.

    The p-values are adjusted for all networks at once. Nothing is compared if the test images were
    not scored: such runs only serve to choose a recipe.
    """
    if results.scored != "test" or len(results.networks) < 2:
        return {}
    hits = {name: results.hits(name) for name in results.networks[1:]}
    reference = results.hits(results.reference)
    counts = [found.sum(axis=1) - reference.sum(axis=1) for found in hits.values()]
    p_values = max_t_p_values(np.transpose(counts)).tolist()
    return {
        name: replace(compare(reference, hits[name], results.seeds), p_value=p, tests=len(hits))
        for name, p in zip(hits, p_values, strict=True)
    }


def summarise(findings: Findings) -> dict[str, Any]:
    """Collect the numbers by which experiments are compared."""
    results = findings.results
    settings = results.metrics.groupby("network", sort=False)["training"].first().map(setting_of)
    return {
        "digest": results.metadata["digest"],
        "content": results.metadata["content"],
        "watched": results.watched,
        "scored": results.scored,
        "images": len(results.images.labels),
        "reference": results.reference,
        "sections": results.sections,
        "settings": {name: settings[name] for name in results.networks},
        "accuracy": {name: describe_accuracy(results, name) for name in results.networks},
        "cost": {name: describe_cost(results, name) for name in results.networks},
        "differences": {n: describe_difference(c) for n, c in findings.comparisons.items()},
    }


def describe_accuracy(results: Results, name: str) -> dict[str, Any]:
    """Return a network's accuracy with its interval, and each seed's number of correct images."""
    seeds, hits = results.seeds, results.hits(name)
    right = hits.sum(axis=1).tolist()
    return {
        **vars(interval(hits)),
        "interval_over": "seeds" if len(seeds) > 1 else "images",
        "right": {str(seed): count for seed, count in zip(seeds, right, strict=True)},
    }


def describe_cost(results: Results, name: str) -> dict[str, float]:
    """Return what a training of a network costs, as the mean over its seeds."""
    return results.means.loc[name, ["pflop", "parameters", "training_seconds"]].to_dict()


def describe_difference(comparison: Comparison) -> dict[str, Any]:
    """Return a difference with its intervals, each seed's difference, and the p-value."""
    new_images = comparison.new_images
    return {
        **vars(comparison.difference),
        "interval_over": "seeds" if comparison.seeds > 1 else "images",
        "new_images": {"low": new_images.low, "high": new_images.high} if new_images else None,
        "by_seed": {str(seed): value for seed, value in comparison.by_seed.items()},
        "p_value": comparison.p_value,
        "seeds": comparison.seeds,
    }
