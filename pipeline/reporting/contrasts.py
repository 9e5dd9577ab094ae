"""Experiments against each other: each network's settings, and their differences from a reference.

Trainings of the same network with the same numbers are one setting, whichever experiments they were
made in; settings are compared over the seeds that they share, all of them at once.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.arithmetic import keep_prob
from pipeline.core.errors import UserError
from pipeline.reporting.comparison import Interval, max_t_p_values, t_interval
from pipeline.reporting.experiments import Experiment, Flat
from pipeline.reporting.formats import by_size

# What says which trainings there are, and not how one of them is made.
WHICH = ("train.networks", "train.variants", "train.seeds")
DROP_KEYS = (
    "drop_block_size",
    "drop_block_oversize",
    "conv_keep_start",
    "conv_keep_step",
    "conv_keep_end",
)
DROP_BLOCK = "DropBlock"  # stands in a setting for these keys, where they do not decide


@dataclass(frozen=True)
class Setting:
    """One network with one set of numbers, over all experiments that have it.

    Attributes:
        numbers: what decides the training, by dotted key.
        experiments: their names, that of the reference first.
        right: the correct test images of each seed.
        images: how many test images there are.
    """

    network: str
    numbers: Flat
    experiments: list[str]
    right: dict[int, int]
    images: int

    @property
    def accuracies(self) -> np.ndarray:
        """The test accuracy of each seed, from 0 to 1, in the order of the seeds."""
        return np.array([self.right[seed] for seed in sorted(self.right)]) / self.images


@dataclass(frozen=True)
class Contrast:
    """A setting minus its network's reference, over the seeds that both have.

    Attributes:
        by_seed: the difference in accuracy of each shared seed, from -1 to 1.
        p_value: adjusted for all contrasts of the family; None for one that stands apart, because
            it has fewer seeds.
    """

    setting: Setting
    reference: Setting
    by_seed: dict[int, float]
    p_value: float | None

    @property
    def difference(self) -> Interval:
        """The mean with Student's t interval, not adjusted; NaN bounds for a single seed."""
        return t_interval(np.array(list(self.by_seed.values())))

    @property
    def label(self) -> str:
        """What is other than in the reference, like `drop_block_size 7`."""
        return describe_change(self.setting.numbers, self.reference.numbers)


class Lead(NamedTuple):
    """One network's setting minus another network's, both of the same experiment.

    Attributes:
        changed: what is other in the two than in the reference; nothing where all is the same.
    """

    changed: str
    contrast: Contrast


@dataclass(frozen=True)
class Contrasts:
    """All contrasts with the reference.

    Attributes:
        settings: of all networks.
        reference: the name of the experiment that the others are held against.
        seeds: those that all contrasts of the family share.
        family: the contrasts that are tested at once.
        apart: those with fewer seeds.
        leads: of the other networks over the first one, in each experiment; all tested at once too.
        unlike: the experiments whose results differ from another's of the same setting and seed.
    """

    settings: list[Setting] = field(default_factory=list)
    reference: str = ""
    seeds: list[int] = field(default_factory=list)
    family: list[Contrast] = field(default_factory=list)
    apart: list[Contrast] = field(default_factory=list)
    leads: list[Lead] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)


def contrast(experiments: list[Experiment], reference: str | None) -> Contrasts:
    """Contrast all settings with those of one experiment.

    Args:
        experiments: on the same data, this run first.
        reference: the experiment's name; None for this run.

    Raises:
        UserError: there is no such experiment.
    """
    if not experiments:
        return Contrasts()
    names = [experiment.name for experiment in experiments]
    chosen = reference or names[0]
    if chosen not in names:
        raise UserError(
            f"params.yaml: report.reference: {chosen!r} is no experiment on this data; there are "
            f"{', '.join(names)}"
        )
    ordered = sorted(experiments, key=lambda experiment: experiment.name != chosen)
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
        settings,
        chosen,
        seeds,
        [c for c in made if c.p_value is not None],
        [c for c in made if c.p_value is None and c.by_seed],
        _leads(ordered, settings, of_reference),
        unlike,
    )


def _leads(
    experiments: list[Experiment], settings: list[Setting], of_reference: dict[str, Setting]
) -> list[Lead]:
    """Hold the other networks' settings against the first network's, of each experiment."""
    pairs: dict[tuple[str, str], tuple[Setting, Setting]] = {}
    for experiment in experiments:
        mine = {s.network: s for s in settings if experiment.name in s.experiments}
        first = mine.get(experiment.summary.get("reference", ""))
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
    """Return what sorts settings: the reference, then by what is other in them and its size."""
    keys = sorted(differing([reference.numbers, setting.numbers]))
    return [(key, by_size(str(setting.numbers[key]))) for key in keys if key in setting.numbers]


def _describe_pair(first: Setting, other: Setting, of_reference: dict[str, Setting]) -> str:
    """Say what is other in two settings than in the reference; nothing where all is the same."""
    return "; ".join(
        f"{s.network}: {describe_change(s.numbers, of_reference[s.network].numbers)}"
        for s in (first, other)
        if s is not of_reference[s.network]
    )


def contrast_at_once(pairs: list[tuple[Setting, Setting]]) -> tuple[list[int], list[Contrast]]:
    """Contrast each setting with its reference, p-values adjusted for all that are looked at.

    Returns:
        The seeds that those share, and a contrast of each pair; one with fewer seeds has no p.
    """
    shared = [sorted(set(s.right) & set(r.right)) for s, r in pairs]
    seeds = largest_common(shared)
    family = [i for i, common in enumerate(shared) if seeds and set(seeds) <= set(common)]
    p_values = {}
    if family:
        # In whole images, whose sums are exact.
        counts = [[s.right[seed] - r.right[seed] for s, r in (pairs[i] for i in family)]
                  for seed in seeds]  # fmt: skip
        p_values = dict(zip(family, max_t_p_values(np.array(counts)).tolist(), strict=True))
    return seeds, [
        Contrast(s, r, _by_seed(s, r, seeds if i in p_values else shared[i]), p_values.get(i))
        for i, (s, r) in enumerate(pairs)
    ]


def largest_common(shared: list[list[int]]) -> list[int]:
    """Return the most seeds that any contrast has, at a tie those that most contrasts have."""
    if not any(shared):
        return []
    counts = Counter(tuple(seeds) for seeds in shared)
    most = max(len(seeds) for seeds in counts)
    return list(next(seeds for seeds, _ in counts.most_common() if len(seeds) == most))


def _by_seed(setting: Setting, reference: Setting, seeds: list[int]) -> dict[int, float]:
    return {s: (setting.right[s] - reference.right[s]) / setting.images for s in seeds}


def collect_settings(experiments: list[Experiment]) -> tuple[list[Setting], list[str]]:
    """Return each network's settings, and the experiments that do not agree with an earlier one.

    An experiment whose results of a seed differ from an earlier one's with the same numbers was
    made with other code or on another machine: its results are a setting of their own.
    """
    settings: list[Setting] = []
    unlike: list[str] = []
    for experiment in experiments:
        for network, found in experiment.summary["accuracy"].items():
            numbers = setting_of(experiment, network)
            right = {int(seed): count for seed, count in found["right"].items()}
            same = [s for s in settings if (s.network, s.numbers) == (network, numbers)]
            agreeing = next((s for s in same if _agree(s.right, right)), None)
            if agreeing:
                agreeing.experiments.append(experiment.name)
                agreeing.right.update(right)
                continue
            if same:
                unlike.append(f"{experiment.name} ({network})")
            images = experiment.summary["images"]
            settings.append(Setting(network, numbers, [experiment.name], right, images))
    return settings, unlike


def _agree(one: dict[int, int], other: dict[int, int]) -> bool:
    return all(one[seed] == other[seed] for seed in set(one) & set(other))


def setting_of(experiment: Experiment, network: str) -> Flat:
    """Return the numbers that decide a network's trainings, by dotted key."""
    params = experiment.params
    section = experiment.summary["sections"][network]
    chosen = (f"{section}.", "augment.", "train.")
    numbers = {k: v for k, v in params.items() if k.startswith(chosen) and k not in WHICH}
    if state := drop_state(params, section):
        numbers = {k: v for k, v in numbers.items() if k.partition(".")[2] not in DROP_KEYS}
        numbers[DROP_BLOCK] = state
    return numbers


def drop_state(params: Flat, section: str) -> str:
    """Say `off` or `single units` where the keys of DropBlock do not decide, else nothing."""
    variant = (params.get("train.variants") or ["dropblock"])[0]
    if variant == "nodrop" or (variant == "dropblock" and _keeps_all(params, section)):
        return "off"
    return "single units" if variant == "unitdrop" else ""


def _keeps_all(params: Flat, section: str) -> bool:
    """Whether a network drops nothing in any epoch (Recipe.drops, of params of any version)."""
    start, step, end = (params.get(f"{section}.{key}", 0) for key in DROP_KEYS[2:])
    return keep_prob(start, step, end, params.get(f"{section}.epochs", 1) - 1) == 1


def differing(settings: list[Flat]) -> list[str]:
    """Return the keys whose values are not the same in all settings, in order."""
    keys = list(dict.fromkeys(key for numbers in settings for key in numbers))
    return [key for key in keys if len({str(numbers.get(key)) for numbers in settings}) > 1]


def describe_change(numbers: Flat, reference: Flat) -> str:
    """Say what is other than in the reference; `other code` where no number is."""
    keys = differing([reference, numbers])
    if numbers.get(DROP_BLOCK):
        keys = [key for key in keys if key.partition(".")[2] not in DROP_KEYS]
    said = [_describe(key, numbers.get(key)) for key in keys if key in numbers]
    return ", ".join(said) or "same numbers, other code or machine"


def _describe(key: str, value: Any) -> str:
    if key == DROP_BLOCK:
        return "without DropBlock" if value == "off" else f"DropBlock of {value}"
    return f"{key.partition('.')[2]} {value}"
