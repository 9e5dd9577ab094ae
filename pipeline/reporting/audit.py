"""The predictions behind a report, in one file small enough for git, so that anyone can check it.

`reports/predictions.npz` contains no images or labels, but: `names` like
`this run/resnet/dropblock/0` (experiment, network, variant, seed); `rows`, the row of each name
(experiments that share a training share its row); `predicted`, (rows, images) classes; and
`right`, of the same shape but packed to bits: whether each class is correct.
"""

import io
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from pipeline.reporting.results import Results

THIS_RUN = "this run"


class Answers(NamedTuple):
    """A training's answers on the test images: (n,) classes, and whether they are right."""

    predicted: np.ndarray
    right: np.ndarray


def answers_of(results: Results) -> dict[str, Answers]:
    """Return the answers of all trainings of this run."""
    labels = results.test.labels
    classes = {
        f"{THIS_RUN}/{network}/{variant}/{seed}": values.argmax(axis=1)
        for (network, variant, seed), values in results.predictions.items()
    }
    return {name: Answers(found, found == labels) for name, found in classes.items()}


def save_answers(file: Path, answers: dict[str, Answers]) -> None:
    """Write all answers; identical answers are stored once."""
    rows: dict[bytes, int] = {}
    unique, places = [], []
    for found in answers.values():
        content = found.predicted.tobytes() + found.right.tobytes()
        if content not in rows:
            rows[content] = len(rows)
            unique.append(found)
        places.append(rows[content])
    predicted = np.stack([found.predicted for found in unique])
    np.savez_compressed(
        file,
        names=np.array(list(answers)),
        rows=np.array(places, np.uint16),
        predicted=predicted.astype(np.uint8 if predicted.max() < 256 else np.uint16),
        right=np.packbits(np.stack([found.right for found in unique]), axis=1),
    )


def read_answers(content: bytes) -> dict[str, Answers]:
    """Read what save_answers wrote; {} if the content is not such a file."""
    try:
        with np.load(io.BytesIO(content)) as saved:
            predicted = saved["predicted"]
            right = np.unpackbits(saved["right"], axis=1, count=predicted.shape[1]).astype(bool)
            pairs = zip(saved["names"].tolist(), saved["rows"].tolist(), strict=True)
            return {name: Answers(predicted[row], right[row]) for name, row in pairs}
    except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile):
        return {}
