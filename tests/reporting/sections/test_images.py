import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.reporting.findings import Findings, compare_networks
from pipeline.reporting.page import as_html
from pipeline.reporting.section import Gallery, Picture
from pipeline.reporting.sections.images import SHOWN, galleries, never_right, told_apart
from tests.reporting.conftest import results_of

LABELS = [0, 1, 2, 0]


def sure(*shares):
    """Log-probabilities with these shares for the true classes, the rest for the next class."""
    values = np.full((len(LABELS), 3), 1e-9)
    for row, label, share in zip(values, LABELS, shares, strict=True):
        row[label], row[(label + 1) % 3] = share, 1 - share
    return np.log(values)


@pytest.fixture
def results():
    return results_of(
        {
            ("baseline", "dropblock", 0): sure(0.9, 0.2, 0.4, 0.1),
            ("baseline", "dropblock", 1): sure(0.9, 0.4, 0.2, 0.3),
            ("resnet", "dropblock", 0): sure(0.8, 0.9, 0.1, 0.4),
            ("resnet", "dropblock", 1): sure(0.6, 0.9, 0.1, 0.4),
        },
        LABELS,
    )


def test_images_are_told_apart_by_the_mean_probability_of_their_class(results):
    # Means over the seeds: baseline 0.9, 0.3, 0.3, 0.2; resnet 0.7, 0.9, 0.1, 0.4.
    assert told_apart(results, "resnet", "baseline").tolist() == [1, 3]
    assert told_apart(results, "baseline", "resnet").tolist() == [0, 2]


def test_the_hardest_images_are_those_that_no_seed_has_right(results):
    assert never_right(results).tolist() == [2, 3]  # image 1: right by the resnet
    results.predictions[("baseline", "dropblock", 1)][2] = np.log([0.1, 0.1, 0.8])
    assert never_right(results).tolist() == [3]


def test_the_rows_are_short_and_say_label_answers_and_confidence(loaded):
    one = loaded.of("dropblock")
    parts = galleries(Findings(None, loaded, one, compare_networks(one)))
    rows = [part.pictures for part in parts if isinstance(part, Gallery)]
    assert [len(row) for row in rows] == [SHOWN] * 3
    for line in rows[0][0].lines[1:]:
        assert re.fullmatch(r"(resnet|baseline): c\d, \d+ %", line)


def test_an_image_is_embedded_as_it_is_and_a_large_one_shrunk():
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (40, 400)]
    html = as_html(Gallery([Picture(p, ["label: <b>"]) for p in pixels]))
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    small, large = (Image.open(io.BytesIO(base64.b64decode(text))) for text in found)
    np.testing.assert_array_equal(np.asarray(small), pixels[0])
    assert large.size == (96, 96)
    assert "label: &lt;b&gt;" in html
