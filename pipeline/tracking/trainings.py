"""The MLflow run of a training: what is logged at its start, and which of several runs counts."""

from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from pipeline.core.errors import UserError
from pipeline.core.files import hash_file
from pipeline.core.records import Prepared
from pipeline.settings.identity import settings_of
from pipeline.settings.names import setting_name
from pipeline.settings.params import PARAMS_FILE, Params, load_params
from pipeline.settings.trainings import Facts, Training
from pipeline.tracking.context import context_tags, process_tags, training_tags
from pipeline.tracking.descriptions import describe_data, describe_recipe, report_link
from pipeline.tracking.lifecycle import END_REASON, end_as_killed
from pipeline.tracking.runs import HISTORY, LOCK_FILE, TRAINING, TrackedRun, find_training_runs
from pipeline.tracking.store import EXPERIMENT
from pipeline.tracking.views import NOTE, SETTING

MEASURED = ("parameters", "flops", "precision", "tensorflow", "keras")  # facts
MAX_TAG = 5000  # characters of a tag; MLflow cuts at 8,000, which may be within a name
MORE = "and more"
EXPERIMENTS = "dvc.experiments"  # tag: the names of the DVC experiments that contain the result


def start_tags(params: Params, training: Training, identity: str) -> dict[str, str]:
    """Return the tags that distinguish a training's run from others."""
    return {
        **training_tags(training),
        SETTING: setting_name(params, training),
        TRAINING: identity,
        "mlflow.source.name": f"python -m pipeline train {training.title}",
    }


def log_settings(
    run: TrackedRun, params: Params, training: Training, prepared: Prepared, facts: Facts
) -> None:
    """Log every parameter, the data set, the environment and a description."""
    data = {f"data.{key}": value for key, value in prepared.metadata["params"].items()}
    measured = {key: facts[key] for key in MEASURED}
    settings = settings_of(params.by_section(), training)
    run.log_params({**settings, **data, **training_tags(training), **measured})
    source = prepared.metadata["params"]["source"]
    for split in ("train", "val"):
        if len(images := prepared[split]):
            run.log_dataset(source, split, prepared.digest, images)
    # params.yaml may have been changed since a training that `publish` records.
    files = [Path(LOCK_FILE)] if Path(LOCK_FILE).exists() else []
    with suppress(UserError):
        files += [PARAMS_FILE] if load_params() == params else []
    run.log_files(files)
    recipe = params.recipe(training.network, training.variant)
    said = describe_recipe(describe_data(prepared.metadata), recipe, facts["parameters"])
    run.set_tags({NOTE: f"{said}\n\n{report_link(run.experiment_id, run.run_id)}"})


def finished_run(
    client: MlflowClient, params: Params, training: Training, prepared: Prepared, facts: Facts
) -> TrackedRun:
    """Return the finished run of a training; create it if the store has none.

    If several runs have the same identity, as after a training was forced or done twice, the one
    whose history equals the output's counts; the others are marked KILLED.
    """
    history = hash_file(training.history_file)
    runs = find_training_runs(facts["training"], training.variant)
    own = next((run for run in runs if run.data.tags.get(HISTORY) == history), None)
    if own is None:
        started = start_tags(params, training, facts["training"])
        trained = {f"git.{key}": facts[f"git_{key}"] for key in ("commit", "dirty", "changes")}
        trained |= {"mlflow.source.git.commit": trained["git.commit"], HISTORY: history}
        tags = resolve_tags(started | context_tags() | process_tags() | trained)
        own = client.create_run(
            client.get_experiment_by_name(EXPERIMENT).experiment_id,
            run_name=facts["name"],
            tags={key: value for key, value in tags.items() if value},
        )
    if own.info.status != "FINISHED":  # new, interrupted while new, or superseded before
        log_settings(TrackedRun(client, own), params, training, prepared, facts)
        if END_REASON in own.data.tags:
            client.delete_tag(own.info.run_id, END_REASON)
        client.set_terminated(own.info.run_id)
    for other in runs:
        if other.info.run_id != own.info.run_id and other.info.status == "FINISHED":
            end_as_killed(client, other.info.run_id, f"run {own.info.run_id} replaced it")
    return TrackedRun(client, own)


def tag_experiments(run: TrackedRun, names: list[str]) -> None:
    """Add names to the run's tag of experiments that contain its result."""
    before = run.tags().get(EXPERIMENTS, "")
    known = set(before.split(", ")) - {""}
    said = ", ".join(sorted({*known, *names} - {MORE}))
    kept = said if len(said) <= MAX_TAG else said[: said.rindex(", ", 0, MAX_TAG)]
    if kept != said or MORE in known:
        kept += f", {MORE}"
    if kept != before:
        run.set_tags({EXPERIMENTS: kept})
