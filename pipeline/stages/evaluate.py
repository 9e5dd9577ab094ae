"""Stage `evaluate`: score the best and the last weights of one training.

Reads the test set once, or with evaluate.test: false not at all, leaves metrics and the best
weights' predictions, and adds both and the exported model to the training's MLflow run.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import log_softmax

from pipeline.core.files import PREPARED, hash_file, work_folder
from pipeline.core.params import EvaluateParams, Params
from pipeline.core.records import SPLIT_NAMES, SPLITS, Prepared, Split
from pipeline.core.trials import Facts, Trial, label_history, load_facts, load_history
from pipeline.data.duplicates import mark_duplicates
from pipeline.evaluation import outputs, plots
from pipeline.evaluation.export import export_model
from pipeline.evaluation.masks import measure_drop_blocks
from pipeline.evaluation.scores import calibration_table, score, superclass_confusion
from pipeline.networks.shared.models import load_network
from pipeline.tracking.context import trial_tags
from pipeline.tracking.lifecycle import tracked_run
from pipeline.training.batches import make_eval_dataset
from pipeline.training.checkpoint import discard_checkpoints
from pipeline.training.loop import best_row
from pipeline.training.machine import one_device

WEIGHTS = ("best", "last")


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, and how.

    Attributes:
        facts, history: what the training left.
        settings: the section evaluate of params.yaml.
    """

    trial: Trial
    facts: Facts
    history: pd.DataFrame
    prepared: Prepared
    settings: EvaluateParams

    @property
    def scored(self) -> Split:
        """The split whose predictions are kept and compared."""
        return "test" if self.settings.test else "val"

    @property
    def splits(self) -> list[Split]:
        """The splits that have images, without test where evaluate.test is false."""
        return [s for s in SPLITS if len(self.prepared[s]) and (s != "test" or self.settings.test)]


@dataclass(frozen=True)
class Outcome:
    """What comes of an evaluation.

    Attributes:
        metrics: what the report says of the training beside its scores.
        scores: by weights and split.
        log_probabilities: (n, classes), of the images of the scored split, by the best weights.
        masks: of each DropBlock layer.
    """

    metrics: dict[str, Any]
    scores: dict[str, dict[Split, outputs.Scores]]
    log_probabilities: np.ndarray
    masks: dict[str, np.ndarray]


def evaluate(params: Params, trial: Trial) -> None:
    """Score a training, write what evaluation/outputs.py names, and extend its MLflow run.

    Raises:
        UserError: the training's files are missing, damaged, or belong to other prepared data.
    """
    prepared = Prepared(PREPARED, trial.seed)
    facts = load_facts(trial, prepared.digest)
    history = load_history(trial, facts["watched"])
    asked = Evaluation(trial, facts, history, prepared, params.evaluate)
    with one_device(work_folder()):
        models = {w: load_network(trial.models_folder / f"{w}.keras") for w in WEIGHTS}
        outcome = score_weights(asked, models)
        save(asked, outcome)
        exported = export_model(models["best"], prepared.metadata["params"]["sharpen"])
        outputs.save_logged_model(trial, *track(asked, outcome, exported))
    discard_checkpoints(work_folder(), facts["training_key"])
    best, name = outcome.scores["best"][asked.scored], SPLIT_NAMES[asked.scored]
    print(f"{facts['name']}: {name} accuracy {best['accuracy']:.4f}, loss {best['loss']:.4f}")


def score_weights(asked: Evaluation, models: dict[str, keras.Model]) -> Outcome:
    """Score the best and the last weights, and measure what DropBlock drops in the network."""
    predictions = {"last": predict_splits(models["last"], asked)}
    files = (asked.trial.models_folder / f"{weights}.keras" for weights in WEIGHTS)
    same = len({hash_file(file) for file in files}) == 1
    predictions["best"] = predictions["last"] if same else predict_splits(models["best"], asked)
    keep = asked.history["keep_prob"].iloc[-1]
    drop_blocks, masks = measure_drop_blocks(models["last"], keep)
    facts = summarise(asked.history, asked.facts)
    return Outcome(
        {**facts, "drop_blocks": drop_blocks, "scored": asked.scored},
        {weights: score_splits(found, asked) for weights, found in predictions.items()},
        predictions["best"].plain[asked.scored],
        masks,
    )


def save(asked: Evaluation, outcome: Outcome) -> None:
    """Write the outcome to where DVC takes it up."""
    images = describe_images(asked.prepared, asked.scored)
    outputs.save_metrics(asked.trial, outcome.metrics, outcome.scores)
    outputs.save_predictions(asked.trial, outcome.log_probabilities, images)
    outputs.save_masks(asked.trial, outcome.masks)


@dataclass(frozen=True)
class Predictions:
    """The (n, classes) float32 log-probabilities of the images of each split that is scored.

    Attributes:
        plain: of the images as they are.
        flipped: of their mirror images; training images and, without evaluate.flip, all left out.
    """

    plain: dict[Split, np.ndarray]
    flipped: dict[Split, np.ndarray]


def predict_splits(model: keras.Model, asked: Evaluation) -> Predictions:
    """Predict each split that has images and may be read."""
    prepared, size = asked.prepared, asked.settings.batch_size
    flipped = [split for split in asked.splits if split != "train"] if asked.settings.flip else []
    return Predictions(
        {split: _predict(model, prepared[split], size) for split in asked.splits},
        {split: _predict(model, mirror(prepared[split]), size) for split in flipped},
    )


def _predict(model: keras.Model, records: np.ndarray, batch_size: int) -> np.ndarray:
    logits = model.predict(make_eval_dataset(records, batch_size), verbose=0)
    return log_softmax(logits.astype(np.float64), axis=1).astype(np.float32)


def mirror(records: np.ndarray) -> np.ndarray:
    """Return the records with their images flipped left to right."""
    mirrored = records.copy()
    mirrored["image"] = records["image"][:, :, ::-1]
    return mirrored


def score_splits(predictions: Predictions, asked: Evaluation) -> dict[Split, outputs.Scores]:
    """Score the predictions of each split.

    `flip_accuracy` is that of the mean of an image's and its mirror image's probabilities.
    """
    prepared = asked.prepared
    superclass_of = np.array(prepared.metadata["superclass_of"])
    scores = {
        split: score(values, prepared[split]["label"], superclass_of, asked.settings.top_k)
        for split, values in predictions.plain.items()
    }
    for split, mirrored in predictions.flipped.items():
        both = np.logaddexp(predictions.plain[split], mirrored)
        hits = both.argmax(axis=1) == prepared[split]["label"]
        scores[split]["flip_accuracy"] = float(hits.mean())
    return scores


def summarise(history: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Collect what the report says of a training beside its scores."""
    kept = best_row(history.to_dict("records"), facts["watched"])
    return {
        **{key: v for key, v in facts.items() if key not in ("run_id", "training_key")},
        "epochs": len(history),
        "best_epoch": int(kept["epoch"]),
        "seconds_per_epoch": float(history["seconds"].median()),
        "images_per_second": float(history["images_per_second"].median()),
        "training_seconds": float(history["seconds"].sum()),
        "peak_memory_mb": float(history["peak_memory_mb"].max()),
    }


def describe_images(prepared: Prepared, split: Split) -> outputs.EvaluationSet:
    """Return labels and duplicates of the scored images."""
    scored, others = prepared[split], SPLITS[: SPLITS.index(split)]
    known = np.concatenate([prepared[other]["group"] for other in others])
    of_training, _ = mark_duplicates(scored["group"], known)
    return outputs.EvaluationSet(
        scored["label"], scored["superclass"], scored["group"], of_training
    )


def draw_figures(asked: Evaluation, outcome: Outcome) -> dict[str, Figure]:
    """Draw this training's curves, and its confusion and calibration on the scored images."""
    metrics, prepared, name = outcome.metrics, asked.prepared, asked.trial.display_name
    labels, log_probabilities = prepared[asked.scored]["label"], outcome.log_probabilities
    curves = label_history(asked.history, asked.trial, metrics["watched"])
    confusion = superclass_confusion(log_probabilities.argmax(axis=1), labels, prepared.metadata)
    calibration = {name: calibration_table(log_probabilities, labels)}
    drawn = {
        "learning_curves.png": plots.plot_history(curves, metrics["watched"]),
        "schedules.png": plots.plot_schedules(curves),
        "confusion.png": plots.plot_confusion({metrics["name"]: confusion}),
        "calibration.png": plots.plot_calibration(calibration, asked.scored),
    }
    if outcome.masks:
        layers = {name: (metrics["drop_blocks"], outcome.masks)}
        drawn["dropblock.png"] = plots.plot_masks(layers)
    return drawn


def track(asked: Evaluation, outcome: Outcome, exported: keras.Model) -> tuple[str, str]:
    """Add scores and model to the training's MLflow run; return its id and the model's URI.

    Where the store no longer has the run, as after a move or a clean-up, a new one is made from
    the saved history.
    """
    trial, facts, prepared = asked.trial, asked.facts, asked.prepared
    source, digest, splits = prepared.metadata["params"]["source"], prepared.digest, asked.splits
    with tracked_run(facts["name"], trial_tags(trial), facts["run_id"]) as run:
        if run.run_id == facts["run_id"]:  # it has the others since its training
            splits = [split for split in splits if split == "test"]
        else:
            print(f"MLflow has no run {facts['run_id']}; made {run.run_id} from the saved history")
            run.set_tags({"restored_from": facts["run_id"]})
        run.log_history(asked.history.to_dict("records"))
        run.log_artifact(trial.history_file)
        # Tags, as another evaluation of the same training may change them.
        settings = asked.settings.model_dump()
        run.set_tags({f"evaluate.{key}": str(value) for key, value in settings.items()})
        for split in splits:
            run.log_dataset(source, split, digest, prepared[split])
        run.log_metrics(single_scores(outcome))
        run.log_table(scores_table(outcome.scores), "scores.csv")
        for file, figure in draw_figures(asked, outcome).items():
            run.log_figure(figure, f"figures/{file}")
        uri = run.log_model(exported, facts["name"])
        run.link_scores(uri, source, digest, outcome.metrics["best_epoch"])
        return run.run_id, uri


def single_scores(outcome: Outcome) -> dict[str, float]:
    """Return the few numbers that a list of runs shows beside the curves of the epochs."""
    metrics, best = outcome.metrics, outcome.scores["best"]
    test = {f"test_{name}": value for name, value in best.get("test", {}).items()}
    return {
        **test,
        "training_epochs": metrics["epochs"],
        "training_best_epoch": metrics["best_epoch"],
        "training_minutes": metrics["training_seconds"] / 60,
    }


def scores_table(scores: dict[str, dict[Split, outputs.Scores]]) -> pd.DataFrame:
    """Return all scores: a row for each pair of weights and split."""
    return pd.DataFrame(
        [
            {"weights": weights, "images": split, **values}
            for weights, splits in scores.items()
            for split, values in splits.items()
        ]
    )
