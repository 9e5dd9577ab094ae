import pytest

from pipeline.core.errors import UserError
from pipeline.core.files import read_yaml
from pipeline.versioning.overrides import expand, experiment_name, override_params
from tests.conftest import quick_params


@pytest.fixture
def folder(workspace):
    (workspace / "params.yaml").write_text(quick_params())
    return workspace


def test_several_values_are_an_experiment_each_and_several_keys_their_product():
    assert expand([]) == [()]
    assert expand(["model.width=0.25"]) == [("model.width=0.25",)]
    assert expand(["train.seeds=[0,1],[2]"]) == [("train.seeds=[0,1]",), ("train.seeds=[2]",)]
    found = expand(["model.drop_block_size=1,3", "recipe.momentum=0.8,0.9"])
    assert {tuple(sorted(point)) for point in found} == {
        (f"model.drop_block_size={size}", f"recipe.momentum={momentum}")
        for size in (1, 3)
        for momentum in (0.8, 0.9)
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("other.yaml:model.width=1", "a sweep can change only params.yaml"),
        (
            "model.width=[",
            "write -S 'model.drop_block_size=1,3' for several values, "
            r"-S 'train.seeds=\[0,1\]' for a list",
        ),
    ],
)
def test_what_cannot_be_expanded_is_refused_with_the_way_out(override, message):
    with pytest.raises(UserError, match=message):
        expand([override])


def test_overrides_are_written_into_the_params(folder):
    override_params(folder, [])
    assert (folder / "params.yaml").read_text() == quick_params()
    override_params(folder, ["model.drop_block_size=7", "train.seeds=[0,3]", "data.limit=null"])
    values = read_yaml(folder / "params.yaml")
    assert values["model"]["drop_block_size"] == 7
    assert values["train"]["seeds"] == [0, 3]
    assert values["data"]["limit"] is None


def test_two_pluses_add_a_key_of_the_recipe_to_a_network_and_change_it_the_next_time(folder):
    for rate in (0.03, 0.04):
        override_params(folder, [f"++model.learning_rate={rate}"])
        assert read_yaml(folder / "params.yaml")["model"]["learning_rate"] == rate
    assert read_yaml(folder / "params.yaml")["recipe"]["learning_rate"] == 0.05


def test_two_pluses_in_a_sweep_expand_too():
    found = expand(["++model.learning_rate=0.03,0.04"])
    assert found == [("++model.learning_rate=0.03",), ("++model.learning_rate=0.04",)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.widht=1", r"model.widht is not a known key; did you mean model.width\?"),
        ("modle.width=1", "modle.width is not a known key; did you mean"),
        ("model.learning_rate=0.03", r"write \+\+ before it"),  # inherited
    ],
)
def test_a_key_that_there_is_not_is_named_and_nothing_is_written(folder, override, message):
    with pytest.raises(UserError, match=message):
        override_params(folder, [override])
    assert (folder / "params.yaml").read_text() == quick_params()


def test_a_long_name_ends_with_a_whole_number():
    choices = [(f"model.drop_block_size={i}", f"recipe.learning_rate=0.{i}{'5' * 30}")
               for i in (1, 3)]  # fmt: skip
    assert (
        experiment_name(choices[0], choices, "abcdefgh")
        == "drop_block_size-1-learning_rate-abcdefg"
    )
    short = experiment_name(choices[0][:1], [c[:1] for c in choices], "abcdefgh")
    assert short == "drop_block_size-1-abcdefg"
