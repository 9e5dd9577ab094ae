import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.outputs import EvaluationSet
from pipeline.reporting.results import Results, load_results
from tests.made_up_experiments import counts, experiment


@pytest.fixture
def loaded(made_results):
    """Results of both networks and variants, of two seeds."""
    return load_results(made_results([0, 1], variants=["dropblock", "nodrop"]))


@pytest.fixture
def results(made_results):
    """Results of both networks, of one seed."""
    return load_results(made_results())


def predicting(classes):
    """Log-probabilities that are highest at the given classes."""
    return np.log(np.eye(3)[classes] * 0.8 + 0.05)


def results_of(predictions, labels, history=None):
    """Results with these log-probabilities by (network, variant, seed)."""
    labels = np.array(labels)
    rows = [
        {"network": n, "section": n, "variant": v, "seed": s, "training": f"{n}-{v}-{s}",
         "pflop": 0.5, "parameters": 1000, "training_seconds": 60.0}
        for n, v, s in predictions
    ]  # fmt: skip
    return Results(
        networks=tuple(dict.fromkeys(n for n, *_ in predictions)),
        variants=("dropblock",),
        metrics=pd.DataFrame(rows),
        history=pd.DataFrame(columns=["network", "variant", "seed"])
        if history is None
        else history,
        predictions=predictions,
        masks={},
        images=EvaluationSet(labels, np.arange(len(labels)), np.zeros(len(labels), bool)),
        metadata={"class_names": ["a", "b", "c"], "largest_class": 1 / 3},
        watched="val",
        scored="test",
    )


@pytest.fixture
def varied():
    """This run, and two experiments with other block sizes, over six seeds each."""
    return [
        experiment("this run", counts(460, 1)),
        experiment("block-1", counts(400, 2), drop_block_size=1),
        experiment("block-11", counts(461, 3), drop_block_size=11),
    ]
