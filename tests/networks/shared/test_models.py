import pytest

from pipeline.core.errors import UserError
from pipeline.networks.shared.models import count_flops, load_network, training_pflop
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
