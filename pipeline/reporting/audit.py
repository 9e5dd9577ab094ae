"""The predictions behind a report, in one file small enough for git, so that anyone can check it.

`reports/predictions.npz` contains no images or labels, but: `names` like
`this run/resnet/dropblock/0` (experiment, network, variant, seed); `rows`, the row of each name
(experiments that share a training share its row); and (rows, images) arrays, from which accuracy,
loss, top-k accuracy and calibration follow: `predicted` classes; `right`, whether each is correct,
packed to bits; in 16 bits the log-probabilities of the predicted class, `top`, and of the true
class, `truth`; and `above`, how many classes are likelier than the true one.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.reporting.results import Results

THIS_RUN = "this run"


class Answers(NamedTuple):
    """A training's answers on the scored images, each (n,).

    Attributes:
        predicted: the most likely class.
        right: whether it is correct.
        top, truth: float16 log-probabilities of that class and of the true one.
        above: how many classes are likelier than the true one.
    """

    predicted: np.ndarray
    right: np.ndarray
    top: np.ndarray
    truth: np.ndarray
    above: np.ndarray

    @classmethod
    def of(cls, log_probabilities: np.ndarray, labels: np.ndarray) -> "Answers":
        """Reduce (n, classes) log-probabilities."""
        predicted = log_probabilities.argmax(axis=1)
        truth = np.take_along_axis(log_probabilities, labels[:, np.newaxis].astype(int), axis=1)
        top, above = log_probabilities.max(axis=1), (log_probabilities > truth).sum(axis=1)
        right = predicted == labels
        return cls(predicted, right, _halved(top), _halved(truth[:, 0]), _compact(above))


def _halved(log_probabilities: np.ndarray) -> np.ndarray:
    """Return them in 16 bits; minus infinity becomes the least number."""
    return np.maximum(log_probabilities, np.finfo(np.float16).min).astype(np.float16)


def _compact(counts: np.ndarray) -> np.ndarray:
    return counts.astype(np.uint8 if counts.max() < 256 else np.uint16)


def answers_of(results: Results) -> dict[str, Answers]:
    """Return the answers of all trainings of this run."""
    return {
        f"{THIS_RUN}/{network}/{variant}/{seed}": Answers.of(values, results.images.labels)
        for (network, variant, seed), values in results.predictions.items()
    }


def save_answers(file: Path, answers: dict[str, Answers]) -> None:
    """Write all answers; identical answers are stored once."""
    rows: dict[bytes, int] = {}
    unique, places = [], []
    for found in answers.values():
        content = b"".join(values.tobytes() for values in found)
        if content not in rows:
            rows[content] = len(rows)
            unique.append(found)
        places.append(rows[content])
    stacked = Answers(*(np.stack(arrays) for arrays in zip(*unique, strict=True)))
    np.savez_compressed(
        file,
        names=np.array(list(answers)),
        rows=np.array(places, np.uint16),
        predicted=_compact(stacked.predicted),
        right=np.packbits(stacked.right, axis=1),
        top=stacked.top,
        truth=stacked.truth,
        above=_compact(stacked.above),
    )


def read_answers(file: Path) -> dict[str, Answers]:
    """Read what save_answers wrote."""
    with np.load(file) as saved:
        predicted = saved["predicted"]
        right = np.unpackbits(saved["right"], axis=1, count=predicted.shape[1]).astype(bool)
        names = zip(saved["names"].tolist(), saved["rows"].tolist(), strict=True)
        arrays = predicted, right, saved["top"], saved["truth"], saved["above"]
        return {name: Answers(*(values[row] for values in arrays)) for name, row in names}
