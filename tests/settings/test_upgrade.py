from copy import deepcopy

import pytest
from ruamel.yaml import YAML

from pipeline.core.files import parse_yaml, read_yaml
from pipeline.settings.edits import apply
from pipeline.settings.params import PARAMS_FILE, load_params
from tests.conftest import REPOSITORY, quick_params

TEXT = quick_params()
EARLIER = read_yaml(REPOSITORY / "tests/settings/earlier_params.yaml")
# Keys that this version did not have, with their defaults.
ADDED = {"data": {"path": None, "test_fraction": 0.2, "image_size": 32, "fit": "crop"}}


@pytest.fixture
def changed():
    """A file of before in which the user changed what networks share and what they do not."""
    values = deepcopy(EARLIER)
    values["baseline"] |= {"small_image_share": 0.67, "muon_weight_decay": 0.03}
    for network in ("baseline", "model"):
        values[network]["learning_rate"] = 0.15
    values["model"]["small_image_share"] = 0.6
    values["train"]["seeds"] = [0, 1, 2]
    del values["data"]["path"]
    return values


@pytest.mark.parametrize("unchanged", [True, False])
def test_an_upgrade_keeps_the_recipe_of_every_network(workspace, invoke, changed, unchanged):
    old = deepcopy(EARLIER) if unchanged else changed
    YAML().dump(old, PARAMS_FILE)
    assert "`python -m pipeline upgrade`" in invoke("check")[1]
    code, said = invoke("upgrade")
    assert code == 0
    gone = said.partition("removed, no longer known: ")[2].split(", ")
    assert {"sprint.stem_filters", "report.accuracy_levels", "model.weight_average"} <= set(gone)
    params = load_params()
    for network in ("baseline", "model"):
        del old[network]["offset_rate_factor"], old[network]["weight_average"]
        share, size = (old[network].pop(f"small_image_{name}") for name in ("share", "size"))
        old[network] |= {"image_sizes": [[share, size]] if share else [], "muon_rescale": False}
        assert vars(params.recipe(network)) == old[network]
    new = read_yaml(PARAMS_FILE)
    del old["data"]["url"], old["augment"]["resize"]
    for section in ("data", "augment", "train", "evaluate"):
        assert new[section] == {**ADDED.get(section, {}), **old[section]}
    assert invoke("upgrade") == (0, "no change\n")


def test_an_upgrade_of_networks_that_agree_is_not_held_back_by_the_defaults(workspace, invoke):
    """The default has epochs in the baseline's section."""
    old = deepcopy(EARLIER)
    for network in ("baseline", "model"):
        old[network]["epochs"] = 5
    YAML().dump(old, PARAMS_FILE)
    assert invoke("upgrade")[0] == 0
    assert load_params().recipe("baseline").epochs == 5


def test_an_upgrade_joins_a_size_of_ones_own_with_the_shared_share(workspace, invoke):
    values = parse_yaml(TEXT, PARAMS_FILE)
    del values["recipe"]["image_sizes"]
    values["recipe"] |= {"small_image_share": 0.5, "small_image_size": 20}
    values["model"]["small_image_size"] = 24
    YAML().dump(values, PARAMS_FILE)
    assert invoke("upgrade")[0] == 0
    params = load_params()
    assert params.recipe("baseline").image_sizes == [[0.5, 20]]
    assert params.recipe("model").image_sizes == [[0.5, 24]]


def test_an_upgrade_leaves_a_file_of_today_as_it_is(workspace, invoke):
    (workspace / "params.yaml").write_text(TEXT)
    assert invoke("upgrade") == (0, "no change\n")
    text = apply(TEXT, {"sprint": {}, "train.networks": ["sprint"], "data.path": "/data"})
    (workspace / "params.yaml").write_text(text)
    assert invoke("upgrade")[0] == 0
    assert read_yaml(PARAMS_FILE) == parse_yaml(text, PARAMS_FILE)
