import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.networks import network_names
from pipeline.settings.params import check_params, load_params
from tests.conftest import quick_params, quick_values


def error_after(tmp_path, key, value):
    values = quick_values()
    section, name = key.split(".")
    values[section][name] = value
    file = tmp_path / "params.yaml"
    YAML().dump(values, file)
    with pytest.raises(UserError) as caught:
        load_params(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("model.drop_block_size", 0, "= 0: must be a whole number at least 1"),
        ("model.drop_block_size", "abc", "= 'abc': must be a whole number"),
        ("model.drop_block_size", 7.0, "= 7.0: must be a whole number"),
        ("model.drop_block_size", True, "= True: must be a whole number"),
        ("model.drop_block_size", None, "= None: must be a whole number"),
        ("model.conv_keep_start", 1.2, "= 1.2: must be a number above 0 and at most 1"),
        ("model.dense_keep", 0.0, "above 0 and at most 1"),
        ("model.width", 0, "= 0: must be a number above 0"),
        ("model.learning_rate", float("nan"), "= nan: must be a number above 0"),
        ("model.learning_rate", float("inf"), "= inf"),
        ("model.learning_rate", "1e-3", "YAML read it as text"),
        ("model.initializer", "xavier", "one of glorot_uniform"),
        ("baseline.filters", [8, 0, 8, 8], "baseline.filters[1] = 0"),
        ("train.seeds", [], "= []: must be a list of 1 or more"),
        ("train.seeds", [-1], "train.seeds[0] = -1"),
        ("train.jit_compile", "no", "= 'no': must be true or false"),
        ("data.validation_fraction", 1.0, "= 1.0: must be a number at least 0 and below 1"),
        ("augment.flip_probability", -0.1, "= -0.1"),
        ("data.url", "https://me:secret@host/a", "must be an http or https address without user"),
        ("report.experiments_x", "width", "must be a key like model.width"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_the_allowed_range(tmp_path, key, value, shown):
    message = error_after(tmp_path, key, value)
    assert key in message and shown in message and "params.yaml" in message


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("train.seeds", [1, 1], "train.seeds: each may stand in the list only once"),
        ("model.filters", [8, 8], "model: filters and kernel_sizes need the same number"),
        ("baseline.conv_keep_end", 0.96, "baseline: conv_keep_end must not be above"),
        ("model.cooldown", 0.9, "model: warmup and cooldown together must not be above 1"),
        ("augment.dropout_grid_min", 0.5, "dropout_grid_min must not be above"),
    ],
)
def test_what_breaks_a_rule_over_several_keys_is_refused(tmp_path, key, value, shown):
    assert shown in error_after(tmp_path, key, value)


@pytest.mark.parametrize(("key", "value"), [("conv_keep_end", 1.0), ("optimizer", "adam")])
def test_what_comes_close_to_breaking_one_is_taken(params, key, value):
    values = params.model_dump()
    values["model"][key] = value
    assert getattr(check_params(values).network("model"), key) == value


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"data": {"validation_fraction": 0.0}}, "needs data.validation_fraction above 0"),
        ({"train": {"watch": "test"}}, "train.watch: test scores them after each epoch"),
        ({"data": {"split_by_seed": True}, "train": {"seeds": [0, 1]}}, "others for each seed"),
    ],
)
def test_without_the_test_images_all_seeds_need_the_same_validation_images(params, changes, shown):
    values = params.model_dump()
    values["evaluate"]["test"] = False
    values["train"]["watch"] = "none"
    for section, keys in changes.items():
        values[section] |= keys
    with pytest.raises(UserError, match=f"evaluate.test: false .*{shown}"):
        check_params(values)


@pytest.mark.parametrize(
    ("networks", "shown"),
    [
        (["modle"], f"'modle' is no network; there are {', '.join(network_names())}"),
        (["shared"], "'shared' is no network"),
        ([], "= []: must be a list of 1 or more"),
        (["model", "model"], "each may stand in the list only once"),
        ("model", "= 'model': must be a list"),
    ],
)
def test_networks_that_there_are_not_are_named(tmp_path, networks, shown):
    message = error_after(tmp_path, "train.networks", networks)
    assert "train.networks" in message and shown in message


def test_a_network_that_is_trained_needs_its_section_and_another_does_not(tmp_path):
    values = quick_values()
    del values["baseline"]
    YAML().dump(values, tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"train.networks names baseline, whose section"):
        load_params(tmp_path / "params.yaml")
    values["train"]["networks"] = ["model"]
    YAML().dump(values, tmp_path / "params.yaml")
    loaded = load_params(tmp_path / "params.yaml")
    assert [training.label for training in loaded.trainings] == ["model-dropblock-0"]
    with pytest.raises(UserError, match="section baseline is missing"):
        loaded.network("baseline")


def test_two_networks_with_one_name_for_people_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.settings.params.display_name", lambda name: "resnet")
    with pytest.raises(UserError, match="two of them have the same display name"):
        check_params(quick_values())


def test_a_misspelt_key_gets_the_nearest_one(tmp_path):
    message = error_after(tmp_path, "model.drop_blok_size", 5)
    said = "model.drop_blok_size is not a key of params.yaml; did you mean model.drop_block_size?"
    assert said in message
    message = error_after(tmp_path, "model.nothing_like_it", 5)
    assert "model.nothing_like_it is not a key of params.yaml; known here: width, drop" in message


def test_all_wrong_keys_are_named_at_once(tmp_path):
    text = quick_params()
    text = text.replace("  seeds: [0]", "  seeds: [x]").replace("  top_k: 5", "  top_k: 0")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"(?s)train\.seeds\[0\].*evaluate\.top_k"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("model:\n  width: 1\n  width: 2\n", "line 3"),
        ("model:\n\twidth: 1\n", "line 2"),
        ("- 1\n", "must hold sections"),
        ("", "must hold sections"),
        ("model: [", "not valid YAML"),
    ],
)
def test_what_is_not_a_params_file_is_refused(tmp_path, text, shown):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=shown):
        load_params(tmp_path / "params.yaml")


def test_a_folder_or_bytes_in_place_of_a_params_file_are_refused(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match=r"params.yaml cannot be read"):
        load_params(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(UserError, match=r"params.yaml cannot be read"):
        load_params(file)


def test_a_missing_file_and_a_missing_section_are_named(tmp_path):
    with pytest.raises(UserError, match="not found"):
        load_params(tmp_path / "params.yaml")
    text = quick_params().split("report:")[0]
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="report is missing"):
        load_params(tmp_path / "params.yaml")


def test_a_split_for_each_seed_takes_validation_images(params):
    values = params.model_dump()
    for fraction in (0.0, 0.6):
        values["data"] |= {"split_by_seed": True, "validation_fraction": fraction}
        with pytest.raises(UserError, match="split_by_seed takes a validation_fraction above 0"):
            check_params(values)
