"""Compare experiments: how each network's settings differ from a reference.

Settings are compared over the seeds that they share, and all are tested at once.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.reporting.comparison import Interval, max_t_p_values, pooled_half, t_interval
from pipeline.reporting.formats import by_size
from pipeline.reporting.tried import Result, Setting, collect_settings, describe_change, differing


@dataclass(frozen=True)
class Contrast:
    """A setting minus the reference setting of its network, over the seeds that both have.

    Attributes:
        by_seed: the difference in accuracy for each shared seed, from -1 to 1.
        p_value: adjusted for all contrasts of the family; None for a contrast outside the family,
            which has fewer seeds.
        pooled_half: half the width of the interval with the seed variance pooled over all settings
            of the family; None outside the family, and for a single seed.
    """

    setting: Setting
    reference: Setting
    by_seed: dict[int, float]
    p_value: float | None
    pooled_half: float | None = None

    @property
    def pooled(self) -> Interval | None:
        """The mean with the interval of the pooled variance."""
        if (half := self.pooled_half) is None:
            return None
        mean = self.difference.mean
        return Interval(mean, mean - half, mean + half)

    @property
    def difference(self) -> Interval:
        """The mean with an unadjusted Student's t interval; NaN bounds for a single seed."""
        return t_interval(np.array(list(self.by_seed.values())))

    @property
    def label(self) -> str:
        """What differs from the reference, like `drop_block_size 7`."""
        return describe_change(self.setting.numbers, self.reference.numbers)


class Lead(NamedTuple):
    """One network's setting minus another network's in the same experiment.

    Attributes:
        changed: what differs in the two settings from the reference; empty if nothing does.
    """

    changed: str
    contrast: Contrast


@dataclass(frozen=True)
class Contrasts:
    """All contrasts with the reference.

    Attributes:
        settings: those of all networks.
        reference: the name of the experiment that the others are compared with.
        seeds: those that all contrasts of the family share.
        family: the contrasts that are tested together.
        apart: contrasts with fewer seeds, which are not tested.
        leads: the other networks minus the first one, in each experiment; also tested together.
        unlike: experiments whose results differ from an earlier experiment's for the same training.
    """

    settings: list[Setting]
    reference: str
    seeds: list[int]
    family: list[Contrast]
    apart: list[Contrast]
    leads: list[Lead]
    unlike: list[str]


def contrast(results: list[Result], reference: str | None) -> Contrasts:
    """Compare all settings with those of one experiment.

    Args:
        results: on the same data, at least one.
        reference: the experiment's name; None for the first.

    Raises:
        UserError: there is no such experiment.
    """
    names = [result.name for result in results]
    chosen = reference or names[0]
    if chosen not in names:
        raise UserError(
            f"--reference {chosen}: there is no such experiment on this data; known: "
            f"{', '.join(names)}"
        )
    ordered = sorted(results, key=lambda result: result.name != chosen)
    settings, unlike = collect_settings(ordered)
    of_reference = {s.network: s for s in settings if chosen in s.experiments}
    pairs = [
        (s, of_reference[s.network])
        for s in settings
        if s.network in of_reference and s is not of_reference[s.network]
    ]
    networks = list(dict.fromkeys(s.network for s in settings))
    pairs.sort(key=lambda pair: (networks.index(pair[0].network), _order(*pair)))
    seeds, made = contrast_at_once(pairs)
    return Contrasts(
        settings=settings,
        reference=chosen,
        seeds=seeds,
        family=[c for c in made if c.p_value is not None],
        apart=[c for c in made if c.p_value is None and c.by_seed],
        leads=_leads(ordered, settings, of_reference),
        unlike=unlike,
    )


def _leads(
    results: list[Result], settings: list[Setting], of_reference: dict[str, Setting]
) -> list[Lead]:
    """Compare the other networks' settings with the first network's, in each experiment."""
    pairs: dict[tuple[str, str], tuple[Setting, Setting]] = {}
    for result in results:
        mine = {s.network: s for s in settings if result.name in s.experiments}
        first = mine.get(result.summary.get("reference", ""))
        if first and mine.keys() <= of_reference.keys():
            for other in mine.values():
                if other is not first:
                    changed = _describe_pair(first, other, of_reference)
                    pairs.setdefault((other.network, changed), (other, first))
    ordered = sorted(
        pairs.items(),
        key=lambda item: [_order(s, of_reference[s.network]) for s in reversed(item[1])],
    )
    made = contrast_at_once([pair for _, pair in ordered])[1]
    return [
        Lead(changed, c) for ((_, changed), _), c in zip(ordered, made, strict=True) if c.by_seed
    ]


def _order(setting: Setting, reference: Setting) -> list[tuple[str, tuple[float, str]]]:
    """Return a sort key: what differs from the reference, and its value."""
    keys = sorted(differing([reference.numbers, setting.numbers]))
    return [(key, by_size(str(setting.numbers[key]))) for key in keys if key in setting.numbers]


def _describe_pair(first: Setting, other: Setting, of_reference: dict[str, Setting]) -> str:
    """Say what differs in two settings from the reference; an empty text if nothing does."""
    return "; ".join(
        f"{s.network}: {describe_change(s.numbers, of_reference[s.network].numbers)}"
        for s in (first, other)
        if s is not of_reference[s.network]
    )


def contrast_at_once(pairs: list[tuple[Setting, Setting]]) -> tuple[list[int], list[Contrast]]:
    """Compare each setting with its reference, with p-values adjusted for all pairs.

    Returns:
        The seeds shared by the adjusted pairs, and a contrast per pair; one with fewer seeds has
        no p-value.
    """
    shared = [sorted(set(s.right) & set(r.right)) for s, r in pairs]
    seeds = largest_common(shared)
    family = [i for i, common in enumerate(shared) if seeds and set(seeds) <= set(common)]
    p_values, half = {}, None
    if family:
        arms = {id(s): s for i in family for s in pairs[i]}.values()
        if len(seeds) > 1:
            half = pooled_half(np.array([[s.right[n] / s.images for s in arms] for n in seeds]))
        # Whole numbers of images, because their sums are exact.
        counts = [[s.right[seed] - r.right[seed] for s, r in (pairs[i] for i in family)]
                  for seed in seeds]  # fmt: skip
        p_values = dict(zip(family, max_t_p_values(np.array(counts)).tolist(), strict=True))
    return seeds, [
        Contrast(s, r, _by_seed(s, r, seeds), p_values[i], half)
        if i in p_values
        else Contrast(s, r, _by_seed(s, r, shared[i]), None)
        for i, (s, r) in enumerate(pairs)
    ]


def largest_common(shared: list[list[int]]) -> list[int]:
    """Return the largest set of seeds that a contrast has; at a tie, the most frequent one."""
    if not any(shared):
        return []
    counts = Counter(tuple(seeds) for seeds in shared)
    most = max(len(seeds) for seeds in counts)
    return list(next(seeds for seeds, _ in counts.most_common() if len(seeds) == most))


def _by_seed(setting: Setting, reference: Setting, seeds: list[int]) -> dict[int, float]:
    return {s: (setting.right[s] - reference.right[s]) / setting.images for s in seeds}


def describe_contrasts(found: Contrasts) -> dict[str, Any]:
    """Return all contrasts, their seeds and their results, for JSON."""
    return {
        "reference": found.reference,
        "seeds": found.seeds,
        "found": [
            {
                "network": c.setting.network,
                "experiments": c.setting.experiments,
                "reference": c.reference.experiments,
                "label": c.label,
                **_describe_contrast(c),
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
                **_describe_contrast(lead.contrast),
            }
            for lead in found.leads
        ],
    }


def _describe_contrast(contrast: Contrast) -> dict[str, Any]:
    pooled = contrast.pooled
    return {
        "by_seed": {str(seed): value for seed, value in contrast.by_seed.items()},
        **{key: value for key, value in vars(contrast.difference).items() if value == value},
        "pooled": {"low": pooled.low, "high": pooled.high} if pooled else None,
        "adjusted_p": contrast.p_value,
    }
