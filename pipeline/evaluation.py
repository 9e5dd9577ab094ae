"""Scores and predictions of one training: what stage `evaluate` does."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import log_softmax, softmax
from sklearn.metrics import top_k_accuracy_score

from pipeline import figures, tracking
from pipeline.errors import UserError
from pipeline.export import export_model
from pipeline.fit import make_eval_dataset
from pipeline.models import load_network
from pipeline.params import DISPLAY_NAMES, EvaluateParams, Network
from pipeline.paths import PREPARED, evaluation_folder, history_file, models_folder, run_file
from pipeline.prepared import SPLITS, Prepared, Split
from pipeline.results import label_history, superclass_pairs

WEIGHTS = ("best", "last")
Scores = dict[str, float]


def evaluate(params: EvaluateParams, network: Network, seed: int) -> None:
    """Score a training; write metrics.json, predictions.npz and run.json; extend its MLflow run.

    Raises:
        UserError: the training's files are missing, damaged, or belong to other prepared data.
    """
    prepared = Prepared(PREPARED)
    facts = read_facts(run_file(network, seed), prepared)
    history = pd.read_csv(history_file(network, seed), float_precision="round_trip")
    folder = models_folder(network, seed)
    models = {weights: load_network(folder / f"{weights}.keras") for weights in WEIGHTS}
    logits = {w: predict_splits(model, prepared, params.batch_size) for w, model in models.items()}
    scores = {w: score_splits(values, prepared, params.top_k) for w, values in logits.items()}
    metrics = {**summarise(history, facts), "scores": scores}

    output = evaluation_folder(network, seed)
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    save_predictions(output / "predictions.npz", logits["best"]["test"], prepared)
    exported = export_model(models["best"], prepared.metadata["params"]["sharpen"])
    drawn = draw_figures(facts, history, logits["best"]["test"], prepared)
    tracked = track(facts, history, metrics, exported, drawn, params)
    (output / "run.json").write_text(json.dumps(tracked) + "\n")
    test = scores["best"]["test"]
    print(f"{facts['name']}: test accuracy {test['accuracy']:.4f}, loss {test['loss']:.4f}")


def read_facts(file: Path, prepared: Prepared) -> dict[str, Any]:
    """Read what `train` left about its run, and check that it trained on this data."""
    try:
        facts = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); run `dvc repro`") from None
    if facts["digest"] != prepared.metadata["digest"]:
        raise UserError(
            f"{file}: the network was trained on data {facts['digest'][:12]}, {PREPARED} holds "
            f"{prepared.metadata['digest'][:12]}; run `dvc repro` to train again"
        )
    return facts


def predict_splits(
    model: keras.Model, prepared: Prepared, batch_size: int
) -> dict[Split, np.ndarray]:
    """Return the (n, classes) float32 logits of each split that has images."""
    splits = [split for split in SPLITS if len(prepared[split])]
    return {
        split: model.predict(make_eval_dataset(prepared[split], batch_size), verbose=0)
        for split in splits
    }


def score_splits(
    logits: dict[Split, np.ndarray], prepared: Prepared, top_k: int
) -> dict[Split, Scores]:
    """Score the logits of each split."""
    return {s: score(values, prepared[s]["label"], top_k) for s, values in logits.items()}


def score(logits: np.ndarray, labels: np.ndarray, top_k: int) -> Scores:
    """Return mean cross entropy in nats, accuracy and top-k accuracy, both 0 to 1."""
    picked = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return {
        "loss": float(-picked.mean()),
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "top_k_accuracy": top_k_accuracy(logits, labels, top_k),
    }


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the share of images whose label is among the k highest logits."""
    classes = logits.shape[1]
    if k >= classes:
        return 1.0
    return float(top_k_accuracy_score(labels, logits, k=k, labels=np.arange(classes)))


def summarise(history: pd.DataFrame, facts: dict[str, Any]) -> dict[str, Any]:
    """Collect what the report says of a training beside its scores."""
    kept = history.iloc[-1] if facts["watched"] == "test" else best_epoch(history)
    keys = ("name", "network", "seed", "digest", "watched", "parameters", "flops")
    return {
        **{key: facts[key] for key in keys},
        "epochs": len(history),
        "best_epoch": int(kept["epoch"]),
        "seconds_per_epoch": float(history["seconds"].median()),
        "images_per_second": float(history["images_per_second"].median()),
        "training_seconds": float(history["seconds"].sum()),
    }


def best_epoch(history: pd.DataFrame) -> pd.Series:
    """Return the epoch of the highest validation accuracy, at a tie of the lowest loss."""
    keys = ["val_accuracy", "val_loss"]
    return history.sort_values(keys, ascending=[False, True], kind="stable").iloc[0]


def save_predictions(file: Path, logits: np.ndarray, prepared: Prepared) -> None:
    """Save the test set's probabilities (n, classes) float32 with labels and superclasses."""
    test = prepared["test"]
    np.savez_compressed(
        file,
        probabilities=softmax(logits.astype(np.float64), axis=1).astype(np.float32),
        labels=test["label"],
        superclasses=test["superclass"],
    )


def draw_figures(
    facts: dict[str, Any], history: pd.DataFrame, logits: np.ndarray, prepared: Prepared
) -> dict[str, Figure]:
    """Draw this training's learning curves and its confusion on the test set."""
    name, test = DISPLAY_NAMES[facts["network"]], prepared["test"]
    curves = label_history(history, name, facts["seed"], facts["watched"])
    pairs = superclass_pairs(logits, test["label"], test["superclass"], prepared.metadata)
    return {
        "learning_curves.png": figures.plot_history(curves, facts["watched"]),
        "confusion.png": figures.plot_confusion(
            {facts["name"]: pairs}, prepared.metadata["superclass_names"]
        ),
    }


def track(
    facts: dict[str, Any],
    history: pd.DataFrame,
    metrics: dict[str, Any],
    exported: keras.Model,
    drawn: dict[str, Figure],
    params: EvaluateParams,
) -> dict[str, str]:
    """Add scores and model to the training's MLflow run; return run_id and model_uri.

    Where the store no longer has the run, as after a move or a clean-up, a new one is made from
    the saved history.
    """
    tags = {"network": DISPLAY_NAMES[facts["network"]], "seed": str(facts["seed"])}
    with tracking.tracked_run(facts["name"], tags, facts["run_id"]) as run:
        if run.run_id != facts["run_id"]:
            print(f"MLflow has no run {facts['run_id']}; made {run.run_id} from the saved history")
            run.set_tags({"restored_from": facts["run_id"]})
        run.log_history(history.to_dict("records"))
        run.log_artifact(history_file(facts["network"], facts["seed"]))
        run.log_params({f"evaluate.{key}": value for key, value in params.model_dump().items()})
        run.log_metrics(flatten(metrics["scores"]))
        run.log_metrics({f"training/{key}": metrics[key] for key in ("epochs", "best_epoch")})
        for file, figure in drawn.items():
            run.log_figure(figure, f"figures/{file}")
        return {"run_id": run.run_id, "model_uri": run.log_model(exported)}


def flatten(scores: dict[str, dict[Split, Scores]]) -> Scores:
    """Name scores for MLflow: test_accuracy of the best weights, the others scores/last_test_loss.

    train_* and val_* are the epochs' curves. The UI makes a section of each name before a slash,
    which leaves the curves together.
    """
    return {
        f"test_{name}"
        if (weights, split) == ("best", "test")
        else f"scores/{weights}_{split}_{name}": value
        for weights, splits in scores.items()
        for split, values in splits.items()
        for name, value in values.items()
    }
