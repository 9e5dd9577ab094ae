"""Compare experiments: how each network's settings differ from a reference.

Settings are compared over the seeds that they share, and all are tested at once.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.reporting.formats import by_size
from pipeline.reporting.intervals import Interval, pooled_half, t_interval
from pipeline.reporting.p_values import is_significant, max_t_p_values
from pipeline.reporting.tried import Result, Setting, collect_settings, describe_change, differing


@dataclass(frozen=True)
class Contrast:
    """A setting minus the reference setting of its network, over the seeds that both have.

    Attributes:
        by_seed: the difference in accuracy for each shared seed, from -1 to 1.
        p_value: adjusted for all contrasts that are tested together.
        pooled_half: half the width of the interval with the seed variance pooled over all settings
            of these contrasts that have all seeds; None for other settings, for a single one, and
            for a single seed.
    """

    setting: Setting
    reference: Setting
    by_seed: dict[int, float]
    p_value: float
    pooled_half: float | None

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
    def significant(self) -> bool:
        """Whether there is evidence of a difference."""
        return is_significant(self.p_value, self.difference)

    @property
    def label(self) -> str:
        """What differs from the reference, like `drop_block_size 7`."""
        return describe_change(self.setting.params, self.reference.params)


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
        of_reference: its settings, by network.
        family: the contrasts, which are tested together.
        unpaired: settings that share no seed with the reference.
        leads: the other networks minus the first one, in each experiment; also tested together.
        unlike: experiments whose results differ from an earlier experiment's for the same training.
    """

    settings: list[Setting]
    reference: str
    of_reference: dict[str, Setting]
    family: list[Contrast]
    unpaired: list[Setting]
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
    return Contrasts(
        settings=settings,
        reference=chosen,
        of_reference=of_reference,
        family=contrast_at_once([pair for pair in pairs if _shared(*pair)]),
        unpaired=[pair[0] for pair in pairs if not _shared(*pair)],
        leads=_leads(ordered, settings, of_reference),
        unlike=unlike,
    )


def _leads(
    results: list[Result], settings: list[Setting], of_reference: dict[str, Setting]
) -> list[Lead]:
    """Compare the other networks' settings with the first network's, in each experiment."""
    pairs: dict[tuple[int, int], tuple[Setting, Setting]] = {}  # experiments may share settings
    for result in results:
        mine = {s.network: s for s in settings if result.name in s.experiments}
        first = mine.get(result.summary.get("reference", ""))
        if first and first.network in of_reference:
            for other in mine.values():
                if other is not first and other.network in of_reference and _shared(first, other):
                    pairs[id(other), id(first)] = other, first
    ordered = sorted(
        pairs.values(),
        key=lambda pair: [_order(s, of_reference[s.network]) for s in reversed(pair)],
    )
    return [
        Lead(_describe_pair(c.reference, c.setting, of_reference), c)
        for c in contrast_at_once(ordered)
    ]


def _order(setting: Setting, reference: Setting) -> list[tuple[str, tuple[float, str]]]:
    """Return a sort key: what differs from the reference, and its value."""
    keys = sorted(differing([reference.params, setting.params]))
    return [(key, by_size(str(setting.params[key]))) for key in keys if key in setting.params]


def _describe_pair(first: Setting, other: Setting, of_reference: dict[str, Setting]) -> str:
    """Say what differs in two settings from the reference; an empty text if nothing does."""
    return "; ".join(
        f"{s.network}: {describe_change(s.params, of_reference[s.network].params)}"
        for s in (first, other)
        if s is not of_reference[s.network]
    )


def contrast_at_once(pairs: list[tuple[Setting, Setting]]) -> list[Contrast]:
    """Compare each setting with its reference, with p-values adjusted for all pairs.

    Pairs may share different seeds, but at least one each.
    """
    if not pairs:
        return []
    shared = [_shared(*pair) for pair in pairs]
    seeds = sorted(set().union(*shared))
    # Whole numbers of images, because their sums are exact. The signs of all seeds are flipped
    # together; a seed that a contrast lacks adds nothing to its statistic.
    counts = np.zeros((len(seeds), len(pairs)), int)
    for place, ((s, r), own) in enumerate(zip(pairs, shared, strict=True)):
        counts[np.isin(seeds, own), place] = [s.right[seed] - r.right[seed] for seed in own]
    whole = [pair for pair, own in zip(pairs, shared, strict=True) if own == seeds]
    # Of a single pair, the pooled interval would be the pair's own.
    half = _pooled_half(whole, seeds) if len(whole) > 1 and len(seeds) > 1 else None
    return [
        Contrast(s, r, _by_seed(s, r, own), p, half if own == seeds else None)
        for (s, r), own, p in zip(pairs, shared, max_t_p_values(counts).tolist(), strict=True)
    ]


def _pooled_half(pairs: list[tuple[Setting, Setting]], seeds: list[int]) -> float:
    arms = {id(setting): setting for pair in pairs for setting in pair}.values()
    return pooled_half(np.array([[s.right[seed] / s.images for s in arms] for seed in seeds]))


def _shared(setting: Setting, reference: Setting) -> list[int]:
    return sorted(setting.right.keys() & reference.right.keys())


def _by_seed(setting: Setting, reference: Setting, seeds: list[int]) -> dict[int, float]:
    return {s: (setting.right[s] - reference.right[s]) / setting.images for s in seeds}


def describe_contrasts(found: Contrasts) -> dict[str, Any]:
    """Return all contrasts, their seeds and their results, for JSON."""
    return {
        "reference": found.reference,
        "found": [{"label": c.label, **_describe_contrast(c)} for c in found.family],
        "leads": [
            {"other": c.reference.network, "changed": changed, **_describe_contrast(c)}
            for changed, c in found.leads
        ],
    }


def _describe_contrast(contrast: Contrast) -> dict[str, Any]:
    pooled = contrast.pooled
    return {
        "network": contrast.setting.network,
        "experiments": contrast.setting.experiments,
        "reference": contrast.reference.experiments,
        "by_seed": {str(seed): value for seed, value in contrast.by_seed.items()},
        **{key: value for key, value in vars(contrast.difference).items() if value == value},
        "pooled": {"low": pooled.low, "high": pooled.high} if pooled else None,
        "adjusted_p": contrast.p_value,
    }
