"""Stage `publish`: make MLflow's store agree with the outputs.

For each training it finds the finished run by the training's identity, or creates one, with curves,
scores, figures, model and report. Then it chooses the registry's champion and records the workspace
as a DVC experiment. What exists is left alone: running it again changes nothing, and running it on
an empty store fills it.

Of this run's trainings and the registered ones on the same prepared data, the best by validation
accuracy is `champion`; `challenger` is the best of the other networks. Nothing is chosen by test
accuracy: without validation images there is no champion.
"""

from dataclasses import dataclass
from typing import Any

import filelock
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipeline.core.errors import UserError
from pipeline.core.files import COMPARISON, PREPARED, REPORTS, hash_file, read_json, work_folder
from pipeline.core.loading import load_keras
from pipeline.core.records import Prepared, load_metadata
from pipeline.evaluation import outputs, plots
from pipeline.evaluation.scores import calibration_table, superclass_confusion
from pipeline.settings.params import Params
from pipeline.settings.trainings import Training, load_facts, load_history
from pipeline.tracking import descriptions
from pipeline.tracking.lifecycle import close_dead_runs
from pipeline.tracking.registry import Registry
from pipeline.tracking.runs import REPORT, SCORES, TRAINING, TrackedRun
from pipeline.tracking.store import open_store, store_errors
from pipeline.tracking.trainings import finished_run, tag_experiments
from pipeline.tracking.views import save_description, save_view
from pipeline.versioning.kept import save_workspace

ALIASES = ("champion", "challenger")
FIGURES = REPORTS / "figures"
PAGE = REPORTS / "report.html"


@dataclass(frozen=True)
class Published:
    """A training with its run.

    Attributes:
        metrics: what `evaluate` wrote, the scores as `{best,last}_{split}_{score}`.
    """

    training: Training
    run: TrackedRun
    metrics: dict[str, Any]


@store_errors()
def publish(params: Params) -> str:
    """Publish all trainings of params.yaml; return a sentence about the champion.

    Raises:
        UserError: results are missing, or MLflow's store cannot be used.
    """
    with filelock.FileLock(work_folder() / "publish.lock"):  # DVC's queue may have two workers
        client = open_store()
        close_dead_runs(client)
        save_view(client)
        published = [publish_training(params, training) for training in params.trainings]
        said = choose_champion(published)
        attach_report(published)
        names, kept = save_workspace()
        for each in published:
            tag_experiments(each.run, names)
    return f"{said}; kept as experiment {kept}" if kept else said


def publish_training(params: Params, training: Training) -> Published:
    """Make a training's run agree with its outputs; return it."""
    prepared = Prepared(PREPARED, training.seed)
    facts = load_facts(training, prepared.digest)
    metrics = outputs.load_metrics(training, prepared.digest)
    if metrics["training"] != facts["training"]:
        raise UserError(f"{training.title} was trained again but not evaluated; run `dvc repro`")
    history = load_history(training, facts["watched"])
    run = finished_run(open_store(), params, training, prepared, facts)
    published = Published(training, run, metrics)
    scores = "-".join(hash_file(file)[:12] for file in sorted(training.evaluation_folder.iterdir()))
    if run.tags().get(SCORES) != scores:
        run.send_history(history.to_dict("records"))
        run.log_files([training.history_file])
        log_scores(published, params, prepared)
        for file, figure in draw_figures(published, prepared).items():
            run.log_figure(figure, f"figures/{file}")
            plt.close(figure)
        model = run.find_model() or log_model(published, prepared.metadata)
        source = prepared.metadata["params"]["source"]
        run.link_scores(model, source, prepared.digest, metrics["best_epoch"])
        run.set_tags({SCORES: scores})
    return published


def log_scores(published: Published, params: Params, prepared: Prepared) -> None:
    """Log the main scores as metrics, for the list of runs, and all scores as a table."""
    run, metrics = published.run, published.metrics
    test = {
        key.removeprefix("best_"): value
        for key, value in metrics.items()
        if key.startswith("best_test_")
    }
    run.log_scores(
        {
            **test,
            "training_epochs": metrics["epochs"],
            "training_best_epoch": metrics["best_epoch"],
            "training_minutes": metrics["training_seconds"] / 60,
        }
    )
    table = outputs.scores_table(published.training)
    run.log_table(table, "scores.csv")
    # Tags, not params: another evaluation of the same training may change them.
    settings = params.evaluate.model_dump()
    run.set_tags({f"evaluate.{key}": str(value) for key, value in settings.items()})
    if metrics["scored"] == "test":
        source = prepared.metadata["params"]["source"]
        run.log_dataset(source, "test", prepared.digest, prepared["test"])


def draw_figures(published: Published, prepared: Prepared) -> dict[str, Figure]:
    """Draw a training's confusion and calibration on the scored images, and DropBlock's masks.

    MLflow itself draws the curves.
    """
    training, metrics = published.training, published.metrics
    name, scored = training.display_name, metrics["scored"]
    log_probabilities, images = outputs.load_predictions(training)
    predicted = log_probabilities.argmax(axis=1)
    confusion = superclass_confusion(predicted, images.labels, prepared.metadata)
    calibration = {name: calibration_table(log_probabilities, images.labels)}
    drawn = {
        "confusion.png": plots.plot_confusion({metrics["name"]: confusion}),
        "calibration.png": plots.plot_calibration(calibration, scored),
    }
    if masks := outputs.load_masks(training):
        drawn["dropblock.png"] = plots.plot_masks({name: (metrics["drop_blocks"], masks)})
    return drawn


def log_model(published: Published, metadata: dict[str, Any]) -> Any:
    """Export the best weights and log them."""
    load_keras()  # loaded late: not needed if the store is complete
    from pipeline.evaluation.export import export_model
    from pipeline.networks.shared.models import load_network

    network = load_network(published.training.models_folder / "best.keras")
    exported = export_model(network, metadata["params"]["sharpen"])
    metrics = published.metrics
    return published.run.log_model(exported, metrics["name"], metrics["training"])


def attach_report(published: list[Published]) -> None:
    """Attach the report to the runs that it compares; put its headline on MLflow's experiment."""
    page = hash_file(PAGE)
    for each in published:
        if each.run.tags().get(REPORT) != page:
            each.run.log_files([PAGE, FIGURES], REPORT)
            each.run.set_tags({REPORT: page})
    first = published[0].run
    data = descriptions.describe_data(load_metadata(PREPARED))
    titles = [each.training.title for each in published]
    headline = f"**{read_json(COMPARISON, 'headline')['headline']}**"
    link = descriptions.report_link(first.experiment_id, first.run_id)
    save_description(open_store(), descriptions.describe_experiment(data, titles, headline, link))


def choose_champion(published: list[Published]) -> str:
    """Register the best networks if they beat the champion; return a sentence about it."""
    metadata = load_metadata(PREPARED)
    if "best_test_accuracy" not in published[0].metrics:
        return "no champion without test scores (evaluate.test is false)"
    if "best_val_accuracy" not in published[0].metrics:
        return "no champion without validation images (data.validation_fraction is 0)"
    registry = Registry(metadata["params"]["source"], metadata["digest"])
    found = {alias: version for alias in ALIASES if (version := registry.find(alias))}
    before = [version.tags[TRAINING] for version in found.values()]
    mine = {each.metrics["training"]: each for each in sorted(published, key=_rank)}
    held = {v.tags[TRAINING]: v for v in found.values() if v.tags[TRAINING] not in mine}
    candidates = [*(v.tags for v in held.values()),
                  *(version_tags(each, metadata) for each in mine.values())]  # fmt: skip

    def place(tags: dict[str, str]) -> tuple[float, int]:
        """At a tie, the champion stays ahead, then the challenger."""
        training = tags[TRAINING]
        known = before.index(training) if training in before else len(before)
        return -float(tags["val_accuracy"]), known

    best, *others = sorted(candidates, key=place)
    placed = [best, *[tags for tags in others if tags["network"] != best["network"]][:1]]
    data = descriptions.describe_data(metadata)
    for alias, tags in zip(ALIASES, placed, strict=False):
        if version := held.get(tags[TRAINING]):
            registry.set_alias(version, alias)
        else:
            each = mine[tags[TRAINING]]
            model = each.run.find_model() or log_model(each, metadata)
            said = descriptions.describe_version(each.metrics, data)
            registry.register(model, alias, tags, said)
    registry.describe(descriptions.describe_registered(data))
    first = next(iter(mine.values()))
    return _say(registry.name, placed, first.metrics, stays=best[TRAINING] in held)


def _rank(published: Published) -> tuple[float, float]:
    """Return a sort key: the highest validation accuracy, at a tie the lowest validation loss."""
    return -published.metrics["best_val_accuracy"], published.metrics["best_val_loss"]


def _say(name: str, placed: list[dict[str, str]], mine: dict[str, Any], stays: bool) -> str:
    """Return a sentence about the champion and the challenger.

    Args:
        mine: the best training of this run.
        stays: whether the champion is from an earlier run.
    """
    best, *others = placed
    earlier = ", from an earlier run," if stays else ""
    said = (
        f"{best['run_name']}{earlier} {'stays' if stays else 'is'} champion of {name} with "
        f"validation accuracy {_percent(best['val_accuracy'])}"
    )
    if stays:
        said += f"; the best of this run is {mine['name']}, {_percent(mine['best_val_accuracy'])}"
    for tags in others:
        said += f"; challenger: {tags['run_name']}, {_percent(tags['val_accuracy'])}"
    return said


def _percent(accuracy: str | float) -> str:
    return f"{100 * float(accuracy):.2f} %"


def version_tags(published: Published, metadata: dict[str, Any]) -> dict[str, str]:
    """Return what a registered version needs to be compared and used."""
    row = published.metrics
    return {
        TRAINING: row["training"],
        "run_name": row["name"],
        "network": published.training.display_name,
        "variant": row["variant"],
        "seed": str(row["seed"]),
        "digest": metadata["digest"],
        "val_accuracy": repr(float(row["best_val_accuracy"])),
        "test_accuracy": repr(float(row["best_test_accuracy"])),
    }
