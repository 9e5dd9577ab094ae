"""This run beside all experiments on the same data."""

import numpy as np
import pandas as pd

from pipeline.reporting.comparison import LEVEL, SEEDS_NEEDED, t_interval
from pipeline.reporting.contrasts import (
    DROP_BLOCK,
    DROP_KEYS,
    Contrast,
    Contrasts,
    Setting,
    differing,
)
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import between, by_size, counted, counted_seeds, format_p, listed
from pipeline.reporting.power import seeds_for
from pipeline.reporting.section import Drawing, Part, Section
from pipeline.reporting.setting_plots import ABSENT, plot_contrasts, plot_settings, value_of

ALONE = (
    "There are no other results on this data yet; `dvc exp run -S model.drop_block_size=7` makes "
    "some."
)
NOTE = (
    "All results on the same prepared data in this repository's DVC experiments and last commit; "
    "`make report` refreshes this. Trainings of a network with the same numbers are one row, "
    "whichever experiments they were made in, with the parameters that are not the same in all. "
    "Means over the seeds with Student's t intervals (95 %); *whether two intervals overlap says "
    "nothing of whether the settings differ*: that takes differences paired over the seeds."
)
CONTRAST_NOTE = (
    "Test accuracy minus that of *{reference}*, in points, paired over the seeds that both have: "
    "of each seed, and as a mean with Student's t interval (95 %, of each contrast alone). The "
    "adjusted p is of all contrasts at once: the signs of whole seeds flipped, of those that all "
    "share, {seeds}, the largest statistic of each flip, step by step (max-T, Westfall and Young). "
    "`report.reference` names another reference."
)
LEADS_NOTE = (
    "Test accuracy of one network minus the other's, both as they are in the same experiment, "
    "paired over the seeds; intervals of each row alone, the adjusted p of all rows."
)
APART_NOTE = (
    "With fewer seeds in common than the others, and so apart: paired intervals of their own, no "
    "adjusted p."
)
UNLIKE_NOTE = (
    "The same numbers and seed, and yet other results than in another experiment: {names}. They "
    "were made with other code, versions or machines, and stand in rows of their own."
)


def make(findings: Findings) -> Section | None:
    """Show the experiments as a table and as figures."""
    found = findings.contrasts
    if not found.settings:
        return None
    x = horizontal(found.settings, findings.params.report.experiments_x)
    parts: list[Part] = contrast_parts(findings)
    if any(lead.changed for lead in found.leads):
        parts += ["### The lead in each experiment", leads_table(found), LEADS_NOTE]
    parts += ["### All settings", settings_table(found.settings), NOTE]
    if len(found.settings) == len({s.network for s in found.settings}):
        parts.append(ALONE)
    if found.unlike:
        parts.append(UNLIKE_NOTE.format(names=listed(found.unlike)))
    figure = plot_settings(found.settings, x)
    drawing = Drawing("experiments", figure, f"Test accuracy of all experiments against {x}")
    return Section("Across experiments", [*parts, drawing])


def horizontal(settings: list[Setting], wanted: str) -> str:
    """Return the param to plot against: the wanted one, or one that varies where it does not."""
    if len({value_of(setting, wanted) for setting in settings} - {ABSENT}) > 1:
        return wanted
    varying = [
        key
        for network in dict.fromkeys(setting.network for setting in settings)
        for key in differing([s.numbers for s in settings if s.network == network])
        if key != DROP_BLOCK
    ]
    return varying[0] if varying else wanted


def contrast_parts(findings: Findings) -> list[Part]:
    """Say what the contrasts show, and show them."""
    found = findings.contrasts
    if not found.family:
        return []
    shown = [*found.family, *found.apart]
    note = CONTRAST_NOTE.format(reference=found.reference, seeds=counted_seeds(found.seeds))
    alt = f"Paired differences in test accuracy from {found.reference}, with intervals"
    parts: list[Part] = [
        conclude(found, findings.results.training_seconds.to_dict()),
        contrast_table(found.family),
    ]
    parts += [note, Drawing("contrasts", plot_contrasts(shown), alt)]
    if found.apart:
        parts += [APART_NOTE, contrast_table(found.apart)]
    return parts


def conclude(found: Contrasts, seconds: dict[str, float]) -> str:
    """Say in a sentence which of the contrasts are more than chance."""
    keys = sorted({key for c in found.family for key in _changed_keys(c)})
    varied, change = listed(keys) if keys else "the code", "change" if len(keys) > 1 else "changes"
    effect = f"{varied} {change} the mean test accuracy"
    seeds = len(found.seeds)
    if seeds < SEEDS_NEEDED:
        return (
            f"**Not enough seeds to say whether {effect}:** over "
            f"{counted(seeds, 'shared seed')} no p can fall below {min(1.0, 2 / 2**seeds):.3g}, "
            f"and {LEVEL} takes {SEEDS_NEEDED}. {_enough(found.family, seconds)}"
        )
    certain = [c for c in found.family if c.p_value is not None and c.p_value < LEVEL]
    if not certain:
        smallest = min(c.p_value for c in found.family if c.p_value is not None)
        return (
            f"**No evidence that {effect}:** the smallest adjusted p of "
            f"{counted(len(found.family), 'contrast')} is {format_p(smallest)}, over {seeds} "
            f"shared seeds. {_enough(found.family, seconds)}"
        )
    said = [
        f"{c.setting.network}, {c.label}: {100 * c.difference.mean:+.1f} points "
        f"({between(c.difference)}), adjusted p {format_p(c.p_value or 0)}"
        for c in certain
    ]
    only = "Only these differ" if len(certain) > 1 else "Only this differs"
    if len(certain) == len(found.family):
        only = "All differ" if len(certain) > 1 else "It differs"
    shown = f"**{only} from {found.reference}** over {seeds} shared seeds: {'; '.join(said)}."
    uncertain = [c for c in found.family if c not in certain]
    return f"{shown} {_not_shown(uncertain)}" if uncertain else shown


def _not_shown(uncertain: list[Contrast]) -> str:
    """Say of each contrast how many seeds would find a difference as large as seen, alone."""
    said = []
    for c in uncertain:
        needed = _seeds_to_find(c)
        enough = "more than 1,000" if needed is None else f"{needed:,}"
        size = f"{100 * c.difference.mean:+.1f} points"
        said.append(f"{c.setting.network}, {c.label} ({size}; {enough} seeds)")
    return (
        f"*Not shown to differ, nor to be alike:* {'; '.join(said)}. In brackets: how many seeds "
        "would find a difference of that size alone, with 80 % power, if it were the true one."
    )


def _seeds_to_find(contrast: Contrast) -> int | None:
    """Return how many seeds would find a difference and a spread as seen, alone (seeds_for)."""
    spread = np.std(list(contrast.by_seed.values()), ddof=1)
    return seeds_for(contrast.difference.mean, float(spread))


def _enough(family: list[Contrast], seconds: dict[str, float]) -> str:
    """Say how many seeds would find the largest difference seen, alone, and what they cost."""
    largest = max(family, key=lambda c: abs(c.difference.mean))
    seeds = len(largest.by_seed)
    size = f"{100 * abs(largest.difference.mean):.1f} points ({largest.label})"
    if seeds < 2:
        return f"The largest difference seen is {size}, of a single seed, which shows no spread."
    needed = _seeds_to_find(largest)
    if needed is None:
        return f"The largest difference seen, {size}, would take more than 1,000 seeds."
    more, network = needed - seeds, largest.setting.network
    if more <= 0:
        return f"The largest difference seen, {size}, would alone take {needed} seeds."
    minutes = 2 * more * seconds.get(network, float("nan")) / 60
    return (
        f"The largest difference seen, {size}, would alone be found with 80 % power by {needed} "
        f"seeds: {2 * more} trainings more of the {network}, about {minutes:,.0f} minutes."
    )


def _changed_keys(contrast: Contrast) -> list[str]:
    keys = differing([contrast.reference.numbers, contrast.setting.numbers])
    dropped = DROP_BLOCK in keys
    return [k for k in keys if not (dropped and k.partition(".")[2] in DROP_KEYS)]


def contrast_table(contrasts: list[Contrast]) -> pd.DataFrame:
    """Return a row for each contrast, in points."""
    labels = [f"{c.setting.network}: {c.label}" for c in contrasts]
    return _in_points(contrasts).set_axis(pd.Index(labels, name="setting"))


def leads_table(found: Contrasts) -> pd.DataFrame:
    """Return a row for each lead of a network over the first one, in points."""
    contrasts = [lead.contrast for lead in found.leads]
    changed = [lead.changed or f"as in {found.reference}" for lead in found.leads]
    table = _in_points(contrasts).set_axis(pd.Index(changed, name="experiments"))
    table.insert(0, "lead", [f"{c.setting.network} minus {c.reference.network}" for c in contrasts])
    return table


def _in_points(contrasts: list[Contrast]) -> pd.DataFrame:
    rows = [
        {
            "seeds shared": counted_seeds(c.by_seed),
            "difference of each": ", ".join(f"{100 * d:+.1f}" for d in c.by_seed.values()),
            "mean": f"{100 * c.difference.mean:+.2f}",
            "95 % interval": between(c.difference) if len(c.by_seed) > 1 else "none of one seed",
            "adjusted p": format_p(c.p_value) if c.p_value is not None else "none",
        }
        for c in contrasts
    ]
    return pd.DataFrame(rows)


def settings_table(settings: list[Setting]) -> pd.DataFrame:
    """Return a row for each setting: the numbers that differ within its network, its accuracy."""
    rows = []
    for network in dict.fromkeys(s.network for s in settings):
        mine = [s for s in settings if s.network == network]
        shown = _columns(mine)
        for setting in sorted(mine, key=lambda s: [by_size(_cell(s, key)) for key in shown]):
            found = t_interval(setting.accuracies)
            several = len(setting.right) > 1
            rows.append(
                {
                    "network": network,
                    **{key: _cell(setting, key) for key in shown},
                    "seeds": counted_seeds(setting.right),
                    "test accuracy, %": f"{100 * found.mean:.1f}",
                    "95 % interval": between(found.of_accuracy(), ".1f")
                    if several
                    else "none of one seed",
                    "experiments": ", ".join(setting.experiments),
                }
            )
    table = pd.DataFrame(rows).fillna("")
    last = ["seeds", "test accuracy, %", "95 % interval", "experiments"]
    return table[[c for c in table if c not in last] + last].set_index("network")


def _columns(settings: list[Setting]) -> list[str]:
    """Return the keys whose values differ between the settings that have them."""
    keys = differing([s.numbers for s in settings])
    having = {key: {str(s.numbers[key]) for s in settings if key in s.numbers} for key in keys}
    return [key for key in keys if len(having[key]) > 1 or key == DROP_BLOCK]


def _cell(setting: Setting, key: str) -> str:
    return str(setting.numbers.get(key, "on" if key == DROP_BLOCK else "-"))
