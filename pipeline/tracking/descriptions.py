"""What MLflow's pages say in words of a run, an experiment and a registered model, in Markdown."""

from typing import Any

from pipeline.core.sections import Recipe

REPORT = "report/report.html"  # among a run's artifacts
TAKES = "Takes whole pixels 0..255, (n, 32, 32, 3) uint8, and gives the probability of each class."


def report_link(experiment_id: str, run_id: str) -> str:
    """Link to the report among the artifacts of a run."""
    return f"[Report](#/experiments/{experiment_id}/runs/{run_id}/artifacts/{REPORT})"


def describe_data(metadata: dict[str, Any]) -> str:
    """Say in a line which images there are, by the metadata of the prepared data."""
    counts = ", ".join(f"{count:,} {split}" for split, count in metadata["images"].items() if count)
    return f"{metadata['params']['source']}, {len(metadata['class_names'])} classes ({counts})"


def describe_recipe(data: str, recipe: Recipe, parameters: int) -> str:
    """Say in three lines on what a network is trained, what it is and how.

    Args:
        data: a line as of describe_data.
        recipe: the training's resolved recipe.
        parameters: how many the network has.
    """
    width = f"width {recipe.width:g}, " if hasattr(recipe, "width") else ""
    at_most = " at most" if recipe.stop_after_rising else ""
    lines = (
        f"Data: {data}",
        f"Network: {parameters:,} parameters, {width}{recipe.dropblock}",
        f"Training: {_optimizer(recipe)}, {_schedule(recipe)}, batches of {recipe.batch_size}, "
        f"{recipe.epochs} epochs{at_most}",
    )
    return "\n".join(f"- {line}" for line in lines)


def _optimizer(recipe: Recipe) -> str:
    if recipe.optimizer == "muon":
        return f"Muon, rate {recipe.muon_learning_rate:g} ({recipe.learning_rate:g} for the rest)"
    return f"{recipe.optimizer}, rate {recipe.learning_rate:g}"


def _schedule(recipe: Recipe) -> str:
    if recipe.schedule == "exponential":
        return f"times {recipe.learning_rate_decay:g} an epoch"
    return recipe.schedule.replace("_", " ")


def describe_version(row: dict[str, Any], data: str) -> str:
    """Say what a registered version is, on what it was trained and how good it is.

    Args:
        row: the training's metrics: name, parameters, best_test_accuracy, best_val_accuracy.
        data: a line as of describe_data.
    """
    validation, test = (f"{100 * row[f'best_{s}_accuracy']:.1f} %" for s in ("val", "test"))
    scores = f"{validation} on the validation images, which chose it, and {test} on the test images"
    return (
        f"**{row['name']}**, {row['parameters']:,} parameters, trained on {data}: accuracy "
        f"{scores}. {TAKES}"
    )


def describe_registered(data: str) -> str:
    """Say what a registered model is: the networks of one data set."""
    return (
        f"Classifiers of {data}. `champion` is the best by validation accuracy, `challenger` the "
        f"best of the other networks. {TAKES}"
    )


def describe_experiment(data: str, trainings: list[str], headline: str, link: str) -> str:
    """Say what is compared on what, what came out, and where the report is."""
    return "\n".join(
        (
            "Networks with DropBlock compared, a run for each network, variant and seed; the view "
            "*Comparison* (under Views) lists what matters of each and draws the learning curves.",
            "",
            f"- Data: {data}",
            f"- Last compared: {', '.join(trainings)}",
            f"- {headline} {link}",
        )
    )
