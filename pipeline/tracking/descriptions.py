"""The Markdown descriptions of runs, the experiment and registered models on MLflow's pages."""

from typing import Any

from pipeline.core.sections import Recipe

REPORT = "report/report.html"  # among a run's artifacts
MODEL_INPUT = (
    "Input: (n, side, side, 3) uint8 pixels, 0..255. Output: the probability of each class."
)


def report_link(experiment_id: str, run_id: str) -> str:
    """Link to the report among the artifacts of a run."""
    return f"[Report](#/experiments/{experiment_id}/runs/{run_id}/artifacts/{REPORT})"


def describe_data(metadata: dict[str, Any]) -> str:
    """Describe the prepared data in one line, from their metadata."""
    counts = ", ".join(f"{count:,} {split}" for split, count in metadata["images"].items() if count)
    classes, side = len(metadata["class_names"]), metadata["params"]["image_size"]
    return f"{metadata['params']['source']}, {classes} classes, {side}x{side} pixels ({counts})"


def describe_recipe(data: str, recipe: Recipe, parameters: int) -> str:
    """Describe in three lines the data, the network and how it is trained.

    Args:
        data: a line from describe_data.
        recipe: the training's resolved recipe.
        parameters: the network's number of parameters.
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
        return f"Muon, rate {recipe.muon_learning_rate:g} ({recipe.learning_rate:g} elsewhere)"
    return f"{recipe.optimizer}, rate {recipe.learning_rate:g}"


def _schedule(recipe: Recipe) -> str:
    if recipe.schedule == "exponential":
        return f"multiplied by {recipe.learning_rate_decay:g} each epoch"
    return f"{recipe.schedule} schedule"


def describe_version(row: dict[str, Any], data: str) -> str:
    """Describe a registered version in plain text, as MLflow's list of versions shows no Markdown.

    Args:
        row: the training's metrics: name, parameters, best_test_accuracy, best_val_accuracy.
        data: a line from describe_data.
    """
    validation, test = (f"{100 * row[f'best_{s}_accuracy']:.1f} %" for s in ("val", "test"))
    scores = f"{validation} on the validation images (used to choose it), {test} on the test images"
    return (
        f"{row['name']}, {row['parameters']:,} parameters, trained on {data}: accuracy "
        f"{scores}. {MODEL_INPUT}"
    )


def describe_registered(data: str) -> str:
    """Describe a registered model: the networks trained on one data set."""
    return (
        f"Classifiers for {data}. `champion` has the best validation accuracy, `challenger` the "
        f"best among the other networks. {MODEL_INPUT}"
    )


def describe_experiment(data: str, trainings: list[str], headline: str, link: str) -> str:
    """Describe the comparison: data, trainings, result, and where the report is."""
    return "\n".join(
        (
            "Compares networks: one run per network, variant and seed. The view "
            "*Comparison* (under Views) lists each run's results and draws the learning curves.",
            "",
            f"- Data: {data}",
            f"- Last compared: {', '.join(trainings)}",
            f"- {headline} {link}",
        )
    )
