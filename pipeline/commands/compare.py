"""Compare all experiments on the same data."""

from pathlib import Path

from pipeline.core.errors import UserError, and_more, warn
from pipeline.core.files import COMPARISON, PREPARED, REPORTS, write_json
from pipeline.core.records import SPLIT_NAMES, load_metadata
from pipeline.reporting.contrasts import Contrasts, contrast, describe_contrasts
from pipeline.reporting.experiments import make_page, varied_alone
from pipeline.reporting.page import write_page
from pipeline.reporting.tried import BLOCK, Result
from pipeline.versioning.experiments import Experiment, check_outputs, list_experiments

FOLDER = REPORTS / "experiments"
NEEDED = ("digest", "scored", "settings", "sections", "accuracy", "images", "reference")


def compare(reference: str | None, x: str | None) -> str:
    """Write reports/experiments/; return the conclusion and the report's path.

    Args:
        reference: the experiment that the others are compared with; None: this run.
        x: the param to plot accuracy against; None: DropBlock's block size if it varies alone,
            else the first param that does.

    Raises:
        UserError: there are no results on this data, or no such experiment.
    """
    check_outputs(PREPARED)
    experiments = list_experiments()
    ordered = sorted(experiments, key=lambda experiment: experiment.name != reference)
    results = select(ordered, digest_of_data(experiments))
    if not results:
        raise UserError("no results on the prepared data yet; run `dvc repro`")
    found = contrast(results, reference)
    alone = varied_alone(found)
    if x and x not in alone:  # settings name the keys of a recipe without their section
        asked, x = x, x.rpartition(".")[2]
        if x not in alone:
            instead = f"accuracy is plotted against {alone[0]}" if alone else "no figure is drawn"
            warn(f"--x {asked}: no setting differs in this param alone, so {instead}")
    return f"{write_contrasts(found, x or BLOCK, FOLDER)}\n{FOLDER / 'report.html'}"


def write_contrasts(found: Contrasts, x: str, folder: Path) -> str:
    """Write the page of all contrasts, and their numbers as JSON, into a folder.

    Args:
        x: the param to plot accuracy against.

    Returns:
        The conclusion.
    """
    page = make_page(found, x)
    write_page(page, folder)
    numbers = {"images": found.settings[0].images, "contrasts": describe_contrasts(found)}
    write_json(folder / COMPARISON.name, {"headline": page.headline, **numbers})
    return page.headline


def digest_of_data(experiments: list[Experiment]) -> str | None:
    """Return the digest of the data to compare on: the prepared data, else the newest results'."""
    if PREPARED.exists():
        return load_metadata(PREPARED)["digest"]
    digests = (each.read_json(COMPARISON).get("digest") for each in reversed(experiments))
    return next(filter(None, digests), None)


def select(experiments: list[Experiment], digest: str | None) -> list[Result]:
    """Return the results on the same data and the same scored split as the first.

    Warns if others are left out because another split was scored. Results equal to an earlier one
    are left out too: the last commit or an experiment may be this run.
    """
    found: list[Result] = []
    others: list[str] = []
    for experiment in experiments:
        summary = experiment.read_json(COMPARISON)
        if not all(key in summary for key in NEEDED) or summary["digest"] != digest:
            continue
        if found and summary["scored"] != found[0].summary["scored"]:
            others.append(experiment.name)
        elif not any(summary == other.summary for other in found):
            found.append(Result(experiment.name, experiment.params, summary))
    if others:
        scored = SPLIT_NAMES[found[0].summary["scored"]]
        warn(
            f"left out: {and_more(others)}; {found[0].name} was scored on {scored} images, these "
            "were not (evaluate.test)"
        )
    return found
