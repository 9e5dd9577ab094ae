from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from pipeline.commands import tune as command
from pipeline.settings import presets
from pipeline.sweep.run import Swept
from pipeline.sweep.trials import draw_trials, load_tuning
from tests.conftest import REPOSITORY, quick_values

TUNING = {
    "trials": 4,
    "seeds": [100],
    "spaces": {"learning_rate": {"low": 0.01, "high": 1.0, "log": True}, "filters": [[4, 8, 8, 8]]},
}


@pytest.fixture
def swept(workspace, monkeypatch):
    """A project whose trials were run by a stand-in for the sweep; one trial failed."""
    YAML().dump(quick_values(), workspace / "params.yaml")
    YAML().dump(TUNING, workspace / "tune.yaml")
    folder = workspace / "presets"
    folder.mkdir()
    for name in ("quick.yaml", "laptop.yaml"):
        (folder / name).write_bytes((REPOSITORY / "presets" / name).read_bytes())
    monkeypatch.setattr(presets, "FOLDER", folder)
    found = SimpleNamespace(asked=[], scores=[0.3, 0.6, 0.5, 0.4, 0.7, 0.2, None, 0.1],
                            damaged=[])  # fmt: skip

    def sweep(choices, cpus, dry_run, cluster):
        found.asked += choices
        names = {chosen: f"trial-{i}" for i, chosen in enumerate(choices)}
        return Swept(names, [f"trial-{i}" for i, s in enumerate(found.scores) if s is None])

    def experiments():
        network = {"workspace": 0.99, **dict(enumerate(found.scores))}
        metrics = {n: {"x": {"val_accuracy": s}} for n, s in network.items() if s}
        metrics |= {key: {} for key in found.damaged}
        metrics["workspace"] = {n: {"val_accuracy": 0.9} for n in "ab"}
        return [
            SimpleNamespace(
                name=n if n == "workspace" else f"trial-{n}",
                read_json=lambda _, of_trial=of_trial: of_trial,
            )
            for n, of_trial in metrics.items()
        ]

    monkeypatch.setattr(command, "sweep", sweep)
    monkeypatch.setattr(command, "log_tuning", lambda *_: "0")  # tests/tracking has it
    monkeypatch.setattr(command, "list_experiments", experiments)
    return found


def test_each_network_gets_the_same_trials_and_the_best_of_each_is_a_preset(swept, invoke):
    code, said = invoke("tune")
    assert code == 1  # a trial failed
    ours = [text.replace("baseline", "model") for chosen in swept.asked[:4] for text in chosen]
    assert ours == [text for chosen in swept.asked[4:] for text in chosen]
    trials = draw_trials(load_tuning())
    rates = [trial["learning_rate"] for trial in trials]
    assert "baseline 60.0 % (learning_rate " in said and "resnet 70.0 % (learning_rate " in said
    values = presets.preset_values("tuned")
    assert values["baseline"]["learning_rate"] == rates[1]
    assert values["model"]["learning_rate"] == rates[0]
    assert values["model"]["filters"] == [4, 8, 8, 8]
    assert values["recipe"] == quick_values()["recipe"]
    text = (presets.FOLDER / "tuned.yaml").read_text()
    assert text.startswith(
        "# Without a result, counted as 0 %: 1 trial.\n# Chosen by `python -m pip"
    )
    assert "filters: [4, 8, 8, 8]\n" in text
    assert len(text.splitlines()) == 9


def test_the_report_says_which_trials_failed(swept, invoke, workspace):
    invoke("tune")
    text = (workspace / "reports/tuning/report.md").read_text()
    assert "Trials that diverged, or have no result yet, count as 0 % (resnet: 1 trial)." in text
    assert "  none |" in text


def test_a_trial_whose_results_are_damaged_counts_as_one_without(swept, invoke):
    swept.damaged.append(4)
    assert "resnet 20.0 % (learning_rate " in invoke("tune")[1]
    assert "counted as 0 %: 2 trials." in (presets.FOLDER / "tuned.yaml").read_text()


def test_a_network_without_any_result_is_refused(swept, refused):
    swept.scores[4:] = [None] * 4
    assert "no trial of the resnet has a result; repeat the command" in refused("tune")
    assert not (presets.FOLDER / "tuned.yaml").exists()


def test_a_dry_run_writes_nothing(swept, invoke, workspace):
    assert invoke("tune", "--dry-run")[0] == 0
    assert not (workspace / "reports").exists()
    assert not (presets.FOLDER / "tuned.yaml").exists()


def test_without_spaces_nothing_is_tried(swept, refused, workspace):
    (workspace / "tune.yaml").unlink()
    assert "tune.yaml not found" in refused("tune")
    assert swept.asked == []
