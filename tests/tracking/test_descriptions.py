import pytest

from pipeline.tracking import descriptions
from tests.conftest import checked

METADATA = {
    "params": {"source": "digits", "image_size": 32},
    "class_names": list("0123456789"),
    "images": {"train": 1294, "val": 143, "test": 0},
}
DATA = "digits, 10 classes, 32x32 pixels (1,294 train, 143 val)"


def test_the_data_are_said_in_a_line():
    assert descriptions.describe_data(METADATA) == DATA


def described(network, **changes):
    """The three lines of a network's recipe with changes."""
    recipe = checked(**{f"{network}.{key}": value for key, value in changes.items()})
    return descriptions.describe_recipe(DATA, recipe.recipe(network), 1_000_000).split("\n")


def test_a_recipe_is_said_in_three_lines():
    assert described("model") == [
        f"- Data: {DATA}",
        "- Network: 1,000,000 parameters, width 0.125, 5x5 blocks, keep 1 to 0.95",
        "- Training: Muon, rate 0.03 (0.05 elsewhere), linear schedule, batches of 50, 6 epochs",
    ]
    assert described("baseline")[1].endswith("width 0.125, single units, keep 0.95")
    assert described("model", conv_keep_step=0.0)[1].endswith("width 0.125, no DropBlock")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimizer": "adam", "learning_rate": 0.002, "schedule": "exponential"},
         "adam, rate 0.002, multiplied by 0.98 each epoch, batches"),
        ({"learning_rate": 0.1, "schedule": "linear"},
         "Muon, rate 0.03 (0.1 elsewhere), linear schedule, batches"),
        ({"stop_after_rising": 3}, "6 epochs at most"),
    ],
)  # fmt: skip
def test_a_schedule_is_said_in_words(changes, says):
    assert says in described("model", **changes)[2]


def test_a_version_says_what_it_is_on_what_and_how_good():
    row = {
        "name": "resnet, quick, seed 0", "parameters": 1200,
        "best_val_accuracy": 0.5, "best_test_accuracy": 0.4321,
    }  # fmt: skip
    said = descriptions.describe_version(row, DATA)
    assert said.startswith(f"resnet, quick, seed 0, 1,200 parameters, trained on {DATA}: ")
    assert "50.0 % on the validation images" in said
    assert "43.2 % on the test images" in said


def test_the_experiment_links_the_report_of_a_run():
    link = descriptions.report_link("1", "f00d")
    assert link == "[Report](#/experiments/1/runs/f00d/artifacts/report/report.html)"
    said = descriptions.describe_experiment(DATA, ["resnet-dropblock-0"], "**ahead**", link)
    assert said.splitlines()[-1] == f"- **ahead** {link}"
    assert "- Last compared: resnet-dropblock-0" in said
    assert "`champion`" in descriptions.describe_registered(DATA)
