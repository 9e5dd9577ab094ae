from pipeline.reporting import tutorial
from tests.conftest import checked, with_train

NAMES = ["baseline", "model"]


def test_the_tutorial_preset_is_the_tutorials_recipe_but_for_its_protocol(published):
    assert tutorial.differences(published) == [
        ("data.validation_fraction", 0.1, 0.0), ("train.watch", "validation", "test"),
    ]  # fmt: skip


def test_a_network_that_is_not_trained_or_not_the_tutorials_is_left_out(params):
    def sections(networks):
        found = tutorial.differences(with_train(params, networks=networks))
        return {key.partition(".")[0] for key, *_ in found} - {"data", "augment", "train"}

    assert sections(["baseline", "model"]) == {"baseline", "model"}
    assert sections(["model", "sprint"]) == {"model"}


def test_dropblock_that_is_off_is_one_difference(params):
    off = checked(**{"model.conv_keep_start": 1.0, "model.conv_keep_end": 1.0})
    for changed, networks in ((off, ["model"]), (with_train(params, variants=["nodrop"]), NAMES)):
        found = {key: (value, theirs) for key, value, theirs in tutorial.differences(changed)}
        for network in networks:
            assert found[f"{network}.DropBlock"] == ("off", "on")
            assert not [key for key in found if key.startswith(f"{network}.conv_keep")]


def test_keys_that_nothing_reads_are_no_difference(params):
    """The default's rates of Muon are one, which the tutorial has not; not where both use Adam."""
    found = {key: (value, theirs) for key, value, theirs in tutorial.differences(params)}
    assert found["model.optimizer"] == ("muon", "adam")
    assert found["model.muon_momentum"] == (0.95, "none")
    assert "model.learning_rate_decay" not in found  # of the schedule that is not used
    adam = checked(**{"recipe.optimizer": "adam"})
    assert not [key for key, *_ in tutorial.differences(adam) if "muon" in key]
