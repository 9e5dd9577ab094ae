"""Scores and predictions of one training: what stage `evaluate` does."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import log_softmax

from pipeline import figures, tracking
from pipeline.drop_masks import measure_drop_blocks
from pipeline.duplicates import mark_duplicates
from pipeline.errors import UserError
from pipeline.export import export_model
from pipeline.fit import make_eval_dataset
from pipeline.models import load_network
from pipeline.params import DISPLAY_NAMES, EvaluateParams, Params, Trial
from pipeline.paths import PREPARED, evaluation_folder, history_file, models_folder, run_file
from pipeline.prepared import SPLITS, Prepared, Split
from pipeline.results import label_history, superclass_pairs
from pipeline.scores import Scores, calibration_table, score

WEIGHTS = ("best", "last")


def evaluate(params: Params, trial: Trial) -> None:
    """Score a training; write metrics.json, predictions.npz and run.json; extend its MLflow run.

    Raises:
        UserError: the training's files are missing, damaged, or belong to other prepared data.
    """
    prepared = Prepared(PREPARED)
    facts = read_facts(run_file(trial), prepared)
    history = pd.read_csv(history_file(trial), float_precision="round_trip")
    models = {w: load_network(models_folder(trial) / f"{w}.keras") for w in WEIGHTS}
    batch_size, top_k = params.evaluate.batch_size, params.evaluate.top_k
    predictions = {w: predict_splits(model, prepared, batch_size) for w, model in models.items()}
    scores = {w: score_splits(values, prepared, top_k) for w, values in predictions.items()}
    drop_blocks, masks = measure_drop_blocks(models["last"], history["keep_prob"].iloc[-1])
    metrics = {**summarise(history, facts), "scores": scores, "drop_blocks": drop_blocks}

    output = evaluation_folder(trial)
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    save_predictions(output / "predictions.npz", predictions["best"]["test"], prepared)
    np.savez_compressed(output / "masks.npz", **masks)  # type: ignore[arg-type]
    exported = export_model(models["best"], prepared.metadata["params"]["sharpen"])
    drawn = draw_figures(metrics, history, predictions["best"]["test"], masks, prepared)
    tracked = track(facts, history, metrics, exported, drawn, params.evaluate)
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
    """Return the (n, classes) float32 log-probabilities of each split that has images."""
    logits = {
        split: model.predict(make_eval_dataset(prepared[split], batch_size), verbose=0)
        for split in SPLITS
        if len(prepared[split])
    }
    return {
        split: log_softmax(values.astype(np.float64), axis=1).astype(np.float32)
        for split, values in logits.items()
    }


def score_splits(
    log_probabilities: dict[Split, np.ndarray], prepared: Prepared, top_k: int
) -> dict[Split, Scores]:
    """Score the log-probabilities of each split."""
    superclass_of = np.array(prepared.metadata["superclass_of"])
    return {
        split: score(values, prepared[split]["label"], superclass_of, top_k)
        for split, values in log_probabilities.items()
    }


def summarise(history: pd.DataFrame, facts: dict[str, Any]) -> dict[str, Any]:
    """Collect what the report says of a training beside its scores."""
    kept = history.iloc[-1] if facts["watched"] == "test" else best_epoch(history)
    left_out = ("run_id",)
    return {
        **{key: value for key, value in facts.items() if key not in left_out},
        "epochs": len(history),
        "best_epoch": int(kept["epoch"]),
        "seconds_per_epoch": float(history["seconds"].median()),
        "images_per_second": float(history["images_per_second"].median()),
        "training_seconds": float(history["seconds"].sum()),
        "peak_memory_mb": float(history["peak_memory_mb"].max()),
    }


def best_epoch(history: pd.DataFrame) -> pd.Series:
    """Return the epoch of the highest validation accuracy, at a tie of the lowest loss."""
    keys = ["val_accuracy", "val_loss"]
    return history.sort_values(keys, ascending=[False, True], kind="stable").iloc[0]


def save_predictions(file: Path, log_probabilities: np.ndarray, prepared: Prepared) -> None:
    """Save the test set's log-probabilities (n, classes) float32 with what the report compares by.

    That is labels, superclasses, the numbers of the groups of duplicates, and which images repeat
    one of training or validation, (n,) each.
    """
    test = prepared["test"]
    known = np.concatenate([prepared["train"]["group"], prepared["val"]["group"]])
    np.savez_compressed(
        file,
        log_probabilities=log_probabilities,
        labels=test["label"],
        superclasses=test["superclass"],
        groups=test["group"],
        of_training=mark_duplicates(test["group"], known)[0],
    )


def draw_figures(
    metrics: dict[str, Any],
    history: pd.DataFrame,
    log_probabilities: np.ndarray,
    masks: dict[str, np.ndarray],
    prepared: Prepared,
) -> dict[str, Figure]:
    """Draw this training's curves, and its confusion and calibration on the test set."""
    name, test = DISPLAY_NAMES[metrics["network"]], prepared["test"]
    curves = label_history(history, name, metrics["seed"], metrics["watched"])
    pairs = superclass_pairs(log_probabilities, test["label"], prepared.metadata)
    drawn = {
        "learning_curves.png": figures.plot_history(curves, metrics["watched"]),
        "schedules.png": figures.plot_schedules(curves),
        "confusion.png": figures.plot_confusion(
            {metrics["name"]: pairs}, prepared.metadata["superclass_names"]
        ),
        "calibration.png": figures.plot_calibration(
            {name: calibration_table(log_probabilities, test["label"])}
        ),
    }
    if masks:
        drawn["dropblock.png"] = figures.plot_masks({name: (metrics["drop_blocks"], masks)})
    return drawn


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
    trial = Trial(facts["network"], facts["variant"], facts["seed"])
    with tracking.tracked_run(facts["name"], tracking.trial_tags(trial), facts["run_id"]) as run:
        if run.run_id != facts["run_id"]:
            print(f"MLflow has no run {facts['run_id']}; made {run.run_id} from the saved history")
            run.set_tags({"restored_from": facts["run_id"]})
        run.log_history(history.to_dict("records"))
        run.log_artifact(history_file(trial))
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
