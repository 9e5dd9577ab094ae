import time

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.networks.shared.models import (
    copy_network,
    count_flops,
    load_network,
    training_pflop,
)
from pipeline.training.compiling import compile_model
from tests.conftest import truncate


def test_flops_count_each_multiply_add_as_two(build):
    model = build("baseline", width=1.0)
    convolutions = [(32, 7, 3, 64), (16, 5, 64, 128), (8, 3, 128, 256), (4, 3, 256, 512)]
    expected = sum(2 * side**2 * k**2 * i * o for side, k, i, o in convolutions)
    expected += 2 * (2048 * 2048 * 2 + 2048 * 100)
    assert count_flops(model) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.h5", b"", "only .keras files are loaded"),
        ("model.keras", b"not a zip", "cannot be loaded"),
        ("missing.keras", None, "missing.keras cannot be loaded"),
    ],
)
def test_files_that_are_no_network_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_network(tmp_path / name)


def test_training_costs_three_forward_passes_an_image(build):
    model = build("baseline", width=0.125)
    assert training_pflop(model, 50_000) == pytest.approx(3 * count_flops(model) * 50_000 / 1e15)


def test_a_file_that_was_cut_off_is_refused(build, tmp_path):
    file = tmp_path / "model.keras"
    build("model", width=0.03).save(file)
    truncate(file, 2_000)
    with pytest.raises(UserError, match=r"model.keras cannot be loaded .* run `dvc repro` to"):
        load_network(file)


def test_copies_of_equal_networks_are_equal_files_and_load_as_they_were(
    build, params, tmp_path, monkeypatch
):
    model = compile_model(build("model"), params.model, params.train)
    model.fit(np.zeros((8, 32, 32, 3)), np.zeros(8, int), verbose=0)
    names = ["first", "second"]
    for name, year in zip(names, (2001, 2002), strict=True):
        moment = time.struct_time((year, 1, 1, 0, 0, 0, 0, 1, 0))
        monkeypatch.setattr(time, "localtime", lambda *_, now=moment: now)
        model.save(tmp_path / f"{name}.keras")
        # As after a training that was cut off: it goes on with the network of a file.
        model = load_network(tmp_path / f"{name}.keras", compiled=True)
        copy_network(tmp_path / f"{name}.keras", tmp_path / f"{name}-copy.keras")
    files = [(tmp_path / f"{name}.keras").read_bytes() for name in names]
    copies = [(tmp_path / f"{name}-copy.keras").read_bytes() for name in names]
    assert files[0] != files[1]
    assert copies[0] == copies[1]
    loaded = load_network(tmp_path / "first-copy.keras", compiled=True)
    for weight, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    for weight, expected in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(weight, expected)
    other = model.get_weights()
    other[-1] += 1
    model.set_weights(other)
    model.save(tmp_path / "other.keras")
    copy_network(tmp_path / "other.keras", tmp_path / "other-copy.keras")
    assert (tmp_path / "other-copy.keras").read_bytes() != copies[0]
