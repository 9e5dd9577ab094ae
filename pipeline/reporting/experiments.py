"""The page that compares all experiments on the same data."""

import pandas as pd

from pipeline.core.words import NO_DROPBLOCK
from pipeline.reporting.contrasts import Contrast, Contrasts
from pipeline.reporting.formats import (
    COMPUTE,
    MINUTES,
    PARAMETERS,
    Rows,
    between,
    by_size,
    counted,
    counted_seeds,
    format_p,
    listed,
)
from pipeline.reporting.intervals import Interval, t_interval
from pipeline.reporting.p_values import LEVEL, SEEDS_NEEDED, smallest_p
from pipeline.reporting.page import Page
from pipeline.reporting.section import Drawing, Part, Section
from pipeline.reporting.setting_plots import plot_contrasts, plot_settings
from pipeline.reporting.tried import Setting, differing, value_of

ALONE = (
    "There is nothing to compare yet: all results on this data have the same settings. `dvc exp "
    "run -S model.drop_block_size=7` adds an experiment with another setting."
)
UNPAIRED = (
    "There is nothing to compare yet: no other setting shares a seed with the reference. Run them "
    "with the same `train.seeds`."
)
SETTINGS_ABOUT = (
    "Each combination of params, with the accuracy of the first variant in train.variants."
)
LEADS_ABOUT = "How much better one network is than the other, in each experiment."
SETTINGS_NOTE = (
    "Trainings that differ only in the seed share a row, even if they belong to different "
    "experiments; the columns are the params that differ between rows. A network's empty cells: "
    "all of its rows have the same value. Accuracies are means over the seeds with Student's t "
    "intervals (95 %). *Overlapping intervals do not mean that two settings are equal*: compare "
    "their differences, paired over the seeds, instead. Compute, parameters and minutes are of one "
    "training; on a busy machine, compare compute."
)
CONTRAST_NOTE = (
    "{scored} accuracy minus that of *{reference}*, in points, paired over the seeds that both "
    "have: for each seed, and as a mean with Student's t interval (95 %, not adjusted for the "
    "number of rows).{pooled} The p-values are Westfall-Young max-T sign flips over the shared "
    "seeds, adjusted for {rows}. `--reference NAME` chooses another reference."
)
POOLED_NOTE = (
    " The *pooled interval* estimates the spread between seeds from all rows together: it is more "
    "reliable with few seeds, but wrong if some settings vary more than others, as with collapses."
)
LEADS_NOTE = (
    "{scored} accuracy of one network minus the other's in the same experiment, paired over the "
    "seeds. The p-values are adjusted for all rows at once, the intervals are not.{pooled}"
)
UNPAIRED_NOTE = "Not compared, because they share no seed with {reference}: {names}."
UNLIKE_NOTE = (
    "Left out: {names}, because the same training has different results in an earlier experiment, "
    "perhaps from another machine."
)

COST: Rows = {"compute": COMPUTE, "parameters": PARAMETERS, "minutes": MINUTES}


def make_page(found: Contrasts, x: str) -> Page:
    """Make the page: contrasts with the reference, networks per experiment, and all settings.

    Args:
        x: the param to plot accuracy against.
    """
    scored = _scored(found)
    sections = [
        Section("All settings", SETTINGS_ABOUT, [settings_table(found.settings), SETTINGS_NOTE])
    ]
    if any(lead.changed for lead in found.leads):
        unsaid = not any(c.pooled for c in found.family)
        pooled = unsaid and any(lead.contrast.pooled for lead in found.leads)
        note = LEADS_NOTE.format(scored=scored.capitalize(), pooled=POOLED_NOTE if pooled else "")
        leads: list[Part] = [leads_table(found), note]
        sections.insert(0, Section("The networks in each experiment", LEADS_ABOUT, leads))
    return Page(
        "Experiments",
        conclude(found),
        [],
        [UNLIKE_NOTE.format(names=listed(found.unlike))] if found.unlike else [],
        [*draw_settings(found, x), *contrast_parts(found)],
        sections,
    )


def draw_settings(found: Contrasts, wanted: str) -> list[Drawing]:
    """Draw accuracy against the wanted param, or against one of `varied_alone`.

    Settings that differ from the reference in more are left out, because their distance would look
    like the effect of this param.
    """
    alone = varied_alone(found)
    if not alone:
        return []
    x = wanted if wanted in alone else alone[0]
    shown = [setting for setting, changed in _compared(found) if changed in ([], [x])]
    alt = f"{_scored(found).capitalize()} accuracy against {x}"
    return [Drawing("experiments", plot_settings(shown, x), alt)]


def varied_alone(found: Contrasts) -> list[str]:
    """Return the params that are the only difference of some setting from the reference."""
    return list(dict.fromkeys(keys[0] for _, keys in _compared(found) if len(keys) == 1))


def _compared(found: Contrasts) -> list[tuple[Setting, list[str]]]:
    """Return each setting whose network has a reference, with the params that were changed."""
    known = [setting for setting in found.settings if setting.network in found.of_reference]
    return [(setting, _changed(setting, found.of_reference[setting.network])) for setting in known]


def _changed(setting: Setting, reference: Setting) -> list[str]:
    """Return the params in which two settings differ.

    A param that only one of them has follows from another one, like the keep probability of blocks
    that are not dropped.
    """
    keys = differing([reference.params, setting.params])
    return [key for key in keys if key in reference.params and key in setting.params]


def contrast_parts(found: Contrasts) -> list[Part]:
    """Show the contrasts with the reference."""
    parts: list[Part] = []
    if found.family:
        scored = _scored(found)
        note = CONTRAST_NOTE.format(
            scored=scored.capitalize(),
            reference=found.reference,
            rows=counted(len(found.family), "row"),
            pooled=POOLED_NOTE if any(c.pooled for c in found.family) else "",
        )
        alt = f"Paired differences in {scored} accuracy from {found.reference}, with intervals"
        drawing = Drawing("contrasts", plot_contrasts(found.family), alt)
        parts = [contrast_table(found.family), note, drawing]
    if found.unpaired:
        named = [name for setting in found.unpaired for name in setting.experiments]
        names = listed(list(dict.fromkeys(named)))
        parts.append(UNPAIRED_NOTE.format(reference=found.reference, names=names))
    return parts


def _scored(found: Contrasts) -> str:
    """Return the split that all accuracies are from."""
    return found.settings[0].scored


def conclude(found: Contrasts) -> str:
    """Say in one sentence which contrasts are significant."""
    if not found.family:
        return UNPAIRED if found.unpaired else ALONE
    keys = sorted({key for c in found.family for key in _changed(c.setting, c.reference)})
    varied, change = listed(keys) if keys else "the code", "change" if len(keys) > 1 else "changes"
    effect = f"{varied} {change} the mean {_scored(found)} accuracy"
    numbers = [len(c.by_seed) for c in found.family]
    fewest, most = min(numbers), max(numbers)
    if most < SEEDS_NEEDED:
        return (
            f"Not enough seeds to say whether {effect}: with {counted(most, 'shared seed')} no p "
            f"can fall below {smallest_p(most):.3g}, and p below {LEVEL} needs at least "
            f"{SEEDS_NEEDED} seeds."
        )
    over = f"{most} shared seeds" if fewest == most else f"{fewest} to {most} shared seeds"
    shown = [c for c in found.family if c.significant]
    if not shown:
        smallest = min(found.family, key=lambda c: c.p_value)
        but = ", but its interval includes 0" if smallest.p_value < LEVEL else ""
        return (
            f"No evidence that {effect}: over {over}, the smallest adjusted p of "
            f"{counted(len(found.family), 'contrast')} is {format_p(smallest.p_value)}{but}."
        )
    said = [
        f"{c.setting.network} {_with(c.label)}: {100 * c.difference.mean:+.1f} points "
        f"({between(c.difference)}), adjusted p {format_p(c.p_value)}"
        for c in shown
    ]
    others = len(found.family) - len(shown)
    same = f"the same network in {found.reference}"
    text = f"Shown to differ from {same}, over {over}: {'; '.join(said)}."
    rest = f" For the other {others}, neither a difference nor equality is shown." if others else ""
    return text + rest


def _with(label: str) -> str:
    return f"with {label}".replace(f"with {NO_DROPBLOCK}", "without DropBlock")


def contrast_table(contrasts: list[Contrast]) -> pd.DataFrame:
    """Return a row for each contrast, in points."""
    labels = [f"{c.setting.network}: {c.label}" for c in contrasts]
    return _in_points(contrasts).set_axis(pd.Index(labels, name="setting"))


def leads_table(found: Contrasts) -> pd.DataFrame:
    """Return a row for each network's difference from the first network, in points."""
    contrasts = [lead.contrast for lead in found.leads]
    changed = [lead.changed or f"as in {found.reference}" for lead in found.leads]
    table = _in_points(contrasts).set_axis(pd.Index(changed, name="setting"))
    pairs = [f"{c.setting.network} minus {c.reference.network}" for c in contrasts]
    table.insert(0, "networks", pairs)
    return table


def _in_points(contrasts: list[Contrast]) -> pd.DataFrame:
    rows = [
        {
            "seeds shared": counted_seeds(c.by_seed),
            "difference of each": ", ".join(f"{100 * d:+z.1f}" for d in c.by_seed.values()),
            "mean": f"{100 * c.difference.mean:+.2f}",
            "95 % interval": _bounds(c.difference) if len(c.by_seed) > 1 else "none (one seed)",
            "pooled interval": _bounds(c.pooled) if c.pooled else "none",
            "adjusted p": format_p(c.p_value),
        }
        for c in contrasts
    ]
    table = pd.DataFrame(rows)
    pooled = any(c.pooled for c in contrasts)
    return table if pooled else table.drop(columns="pooled interval")


def _bounds(found: Interval) -> str:
    return between(found, "+.2f")


def settings_table(settings: list[Setting]) -> pd.DataFrame:
    """Return a row per setting: the params that vary within its network, and its accuracy."""
    rows = []
    for network in dict.fromkeys(s.network for s in settings):
        mine = [s for s in settings if s.network == network]
        shown = _columns(mine)
        for setting in sorted(mine, key=lambda s: [by_size(value_of(s, key)) for key in shown]):
            found = t_interval(setting.accuracies)
            several = len(setting.right) > 1
            rows.append(
                {
                    "network": network,
                    **{key: value_of(setting, key) for key in shown},
                    "seeds": counted_seeds(setting.right),
                    f"{setting.scored} accuracy, %": f"{100 * found.mean:.1f}",
                    "95 % interval": between(found.of_accuracy(), ".1f")
                    if several
                    else "none (one seed)",
                    **_cost(setting),
                    "experiments": ", ".join(setting.experiments),
                }
            )
    table = pd.DataFrame(rows).fillna("")
    accuracy = f"{settings[0].scored} accuracy, %"
    last = ["seeds", accuracy, "95 % interval", *COST, "experiments"]
    known = [column for column in last if column in table]
    return table[[c for c in table if c not in last] + known].set_index("network")


def _cost(setting: Setting) -> dict[str, str]:
    return {
        label: write(setting.cost[key] * factor)
        for label, (key, write, factor) in COST.items()
        if key in setting.cost
    }


def _columns(settings: list[Setting]) -> list[str]:
    """Return the keys whose values differ between the settings that have them."""
    keys = differing([s.params for s in settings])
    having = {key: {str(s.params[key]) for s in settings if key in s.params} for key in keys}
    return [key for key in keys if len(having[key]) > 1]
