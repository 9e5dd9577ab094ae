import numpy as np

from pipeline.reporting import audit


def test_answers_come_back_and_shared_trainings_are_kept_once(tmp_path):
    rng = np.random.default_rng(0)
    made = [audit.Answers(rng.integers(0, 100, 1_001), rng.random(1_001) < 0.4) for _ in range(2)]
    answers = {
        "this run/baseline/dropblock/0": made[0],
        "this run/resnet/dropblock/0": made[1],
        "block-7/baseline/dropblock/0": made[0],
    }
    file = tmp_path / "predictions.npz"
    audit.save_answers(file, answers)
    read = audit.read_answers(file.read_bytes())
    assert list(read) == list(answers)
    for name, found in answers.items():
        np.testing.assert_array_equal(read[name].predicted, found.predicted)
        np.testing.assert_array_equal(read[name].right, found.right)
    with np.load(file) as saved:
        assert saved["predicted"].shape == (2, 1_001)


def test_forty_trainings_of_ten_thousand_images_take_less_than_a_megabyte(tmp_path):
    rng = np.random.default_rng(0)
    answers = {
        f"this run/resnet/dropblock/{seed}": audit.Answers(
            rng.integers(0, 100, 10_000), rng.random(10_000) < 0.5
        )
        for seed in range(40)
    }
    audit.save_answers(tmp_path / "predictions.npz", answers)
    assert (tmp_path / "predictions.npz").stat().st_size < 1e6


def test_more_than_256_classes_fit(tmp_path):
    answers = {"this run/a/dropblock/0": audit.Answers(np.array([300, 1]), np.array([True, False]))}
    audit.save_answers(tmp_path / "a.npz", answers)
    read = audit.read_answers((tmp_path / "a.npz").read_bytes())
    assert read["this run/a/dropblock/0"].predicted.tolist() == [300, 1]


def test_what_is_no_such_file_holds_nothing():
    assert audit.read_answers(b"something else") == {}
    assert audit.read_answers(b"") == {}
