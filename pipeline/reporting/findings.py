"""Everything that the sections of the report show, computed once."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.reporting import experiments
from pipeline.reporting.audit import THIS_RUN, Answers, answers_of
from pipeline.reporting.comparison import Comparison, compare, interval
from pipeline.reporting.contrasts import Contrast, Contrasts, contrast
from pipeline.reporting.results import Results, load_results


@dataclass(frozen=True)
class Findings:
    """The results of this run, what they say of the networks, and the experiments beside it.

    Attributes:
        everything: the results of all variants.
        results: those of the first variant, which the report is about.
        comparisons: of the other networks, by their names, with the first network.
        summary: the figures that the reports of other experiments read.
        experiments: this run and all experiments on the same data; empty without a repository.
        contrasts: of these experiments with a reference.
    """

    params: Params
    everything: Results
    results: Results
    comparisons: dict[str, Comparison]
    summary: dict[str, Any]
    experiments: list[experiments.Experiment]
    contrasts: Contrasts = field(default_factory=Contrasts)

    @property
    def answers(self) -> dict[str, Answers]:
        """What all trainings of this run and of the experiments say of the test images."""
        found = answers_of(self.everything)
        for experiment in self.experiments:
            found |= experiment.answers
        return found

    @property
    def compared(self) -> dict[str, Any]:
        """The figures of the comparison, with the contrasts of the experiments."""
        return {**self.summary, "contrasts": describe_contrasts(self.contrasts)}


def find(params: Params) -> Findings:
    """Load the results, and compare them.

    Raises:
        UserError: there are no results, they belong to different data, or there is no such
            experiment as `report.reference`.
    """
    everything = load_results(params)
    results = everything.of(everything.variants[0])
    comparisons = compare_networks(results)
    summary = summarise(results, comparisons)
    others = read_experiments(summary, params)
    contrasts = contrast(others, params.report.reference)
    return Findings(params, everything, results, comparisons, summary, others, contrasts)


def compare_networks(results: Results) -> dict[str, Comparison]:
    """Compare each network with the first over their paired seeds, where all is finite.

    Nothing is compared where the test images were not scored: that is for choosing a recipe.
    """
    if results.scored != "test":
        return {}
    diverged = {network for network, *_ in results.diverged}
    if results.reference in diverged:
        return {}
    compared = {}
    for name in results.others:
        if name not in diverged:
            seeds = results.paired_seeds(name)
            reference, other = (results.hits(n, seeds) for n in (results.reference, name))
            compared[name] = compare(reference, other, seeds)
    return compared


def summarise(results: Results, comparisons: dict[str, Comparison]) -> dict[str, Any]:
    """Collect the figures by which the reports of other experiments compare themselves."""
    return {
        "digest": results.metadata["digest"],
        "watched": results.watched,
        "scored": results.scored,
        "images": len(results.test.labels),
        "reference": results.reference,
        "sections": results.sections,
        "accuracy": {name: describe_accuracy(results, name) for name in results.names},
        "differences": {name: describe_difference(c) for name, c in comparisons.items()},
    }


def describe_accuracy(results: Results, name: str) -> dict[str, Any]:
    """Return a network's test accuracy with its interval, and each seed's correct images."""
    seeds = results.seeds(name)
    hits = results.hits(name, seeds)
    right = hits.sum(axis=1).tolist()
    return {
        **vars(interval(hits)),
        "interval_over": "seeds" if len(seeds) > 1 else "images",
        "right": {str(seed): count for seed, count in zip(seeds, right, strict=True)},
    }


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


def describe_contrasts(found: Contrasts) -> dict[str, Any]:
    """Return what is contrasted with what, over which seeds, and what comes of it."""
    return {
        "reference": found.reference,
        "seeds": found.seeds,
        "found": [
            {
                "network": c.setting.network,
                "experiments": c.setting.experiments,
                "reference": c.reference.experiments,
                "label": c.label,
                **describe_contrast(c),
            }
            for c in [*found.family, *found.apart]
        ],
        "leads": [
            {
                "network": lead.contrast.setting.network,
                "experiments": lead.contrast.setting.experiments,
                "other": lead.contrast.reference.network,
                "reference": lead.contrast.reference.experiments,
                "changed": lead.changed,
                **describe_contrast(lead.contrast),
            }
            for lead in found.leads
        ],
    }


def describe_contrast(contrast: Contrast) -> dict[str, Any]:
    """Return a contrast's difference of each seed, its mean with its interval, and its p-value."""
    return {
        "by_seed": {str(seed): value for seed, value in contrast.by_seed.items()},
        **{key: value for key, value in vars(contrast.difference).items() if value == value},
        "adjusted_p": contrast.p_value,
    }


def read_experiments(summary: dict[str, Any], params: Params) -> list[experiments.Experiment]:
    """Set this run beside all experiments on the same data; nothing without a DVC repository."""
    this_run = experiments.Experiment(THIS_RUN, experiments.flatten(params.model_dump()), summary)
    try:
        others = experiments.compare_experiments(summary["digest"])
    except UserError:
        return []
    same = this_run.params, summary
    alike = [other for other in others if other.summary.get("scored") == summary["scored"]]
    return [this_run, *(other for other in alike if (other.params, other.summary) != same)]
