"""The committed reports' numbers follow from the data committed with them."""

import csv
import itertools
import json
import re
import statistics
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.confirm import NETWORKS, SETTINGS
from benchmarks.curve import CONTRASTS
from pipeline.core.files import read_yaml
from pipeline.reporting.sections.images import FREE
from pipeline.reporting.sections.statistics import COLLAPSES, RELIABLE
from pipeline.sweep.trials import draw_trials, load_tuning
from tests.conftest import REPOSITORY, tracked
from tests.recomputed import (
    assert_contrasts_follow,
    evidence,
    interval_of,
    max_t,
    prose,
    right_answers,
    table_rows,
)


@pytest.fixture(scope="module")
def coverage():
    runs = json.loads((REPOSITORY / "reports/benchmarks/coverage.json").read_text())
    assert all(run["facts"]["repetitions"] >= 10_000 for run in runs)
    return pd.DataFrame([row for run in runs for row in run["rows"]])


def shares(coverage, about, what):
    return coverage.query("about == @about and what == @what")["share"]


def test_the_intervals_hold_what_the_report_promises_of_them(coverage):
    alike = coverage[~coverage["dominated by"].str.contains("collapses")]
    these = shares(alike, "these images", "coverage, t over seeds")
    assert len(these) == 8
    assert f"{100 * these.min():.1f} to {100 * these.max():.1f} %" in RELIABLE
    assert (shares(alike, "new images", "coverage, seeds and images") >= 0.945).all()
    collapsing = coverage[coverage["dominated by"] == "collapses"].query("seeds in (3, 6)")
    assert shares(collapsing, "these images", "coverage, t over seeds").round(2).tolist() == [
        0.68, 0.90,
    ]  # fmt: skip


def test_without_a_difference_a_p_below_5_percent_is_as_rare_as_promised(coverage):
    null = "p below 0.05 under the null"
    alike = coverage[~coverage["dominated by"].str.contains("collapses")]
    assert (shares(alike, "these images", null) <= 0.05).all()
    collapsing = coverage.query("`dominated by` == 'collapses' and seeds == 6")
    assert shares(collapsing, "these images", null).round(2).tolist() == [0.09]


def test_six_seeds_do_not_show_rare_collapses_as_the_report_warns(coverage):
    six = coverage.query("seeds == 6 and about == 'these images'")
    said = re.findall(r"(\d+) %", COLLAPSES)
    for what, (rare, deep) in (
        ("coverage, t over seeds", said[:2]),
        ("p below 0.05 under the null", said[2:]),
    ):
        found = six[six["what"] == what].set_index("dominated by")["share"]
        assert [f"{100 * found[f'rare{kind} collapses']:.0f}" for kind in ("", " deep")] == [
            rare,
            deep,
        ]


def test_the_table_of_collapses_follows_from_the_simulation(coverage):
    page = (REPOSITORY / "benchmarks/README.md").read_text()
    rows = re.findall(
        r"^\| (?:a third|one in ten) \|[^|]*\| ([\d, ]+) \| ([\d, ]+) \|$", page, re.M
    )
    kinds = ("collapses", "rare collapses", "rare deep collapses")
    for kind, (covered, rejected) in zip(kinds, rows, strict=True):
        mine = coverage[coverage["dominated by"] == kind]
        found = shares(mine, "these images", "coverage, t over seeds")
        assert covered == ", ".join(f"{100 * share:.0f}" for share in found)
        found = shares(mine, "these images", "p below 0.05 under the null")[-2:]
        assert rejected == ", ".join(f"{100 * share:.0f}" for share in found)


def test_the_sentences_on_stopping_follow_from_the_simulation():
    (run,) = json.loads((REPOSITORY / "reports/benchmarks/until_decided.json").read_text())
    found = {row["dominated by"]: row for row in run["rows"]}
    page = prose(REPOSITORY / "benchmarks/README.md")
    wrong = {
        name: f"{100 * row['decided without a difference']:.0f} %" for name, row in found.items()
    }
    assert {wrong["seeds"], wrong["images"]} == {"3 %"}
    assert "it decides in 3 % of simulations without a difference." in page
    assert found["seeds"]["decided with 5 points"] > 0.9995
    assert f"at most {found['seeds']['median seeds with 5 points']:.0f} seeds" in page
    pattern = (
        r"decides in (\d+ %) of simulations without a difference if a third .*, "
        r"in (\d+ %) if one in ten .*, and in (\d+ %) if"
    )
    said = re.search(pattern, page)
    names = ("collapses", "rare collapses", "rare deep collapses")
    assert said.groups() == tuple(wrong[name] for name in names)


def test_about_new_images_the_seeds_alone_promise_too_much_as_the_report_warns(coverage):
    images = coverage[coverage["dominated by"] == "images"]
    assert shares(images, "new images", "coverage, t over seeds alone").max() < 0.93
    assert shares(images, "new images", "p below 0.05 under the null").max() > 0.3


# Results made here lie in reports/ too, but git does not track them.
PUBLISHED = sorted((REPOSITORY / file).parent for file in tracked("reports/*predictions.npz"))
CONFIRM = REPOSITORY / "reports/confirm"


def published(folder):
    return pytest.param(folder, id=folder.relative_to(REPOSITORY).as_posix())


EACH_REPORT = pytest.mark.parametrize("folder", [published(folder) for folder in PUBLISHED])


def of_this_run(right, network, seeds):
    """(seeds, images) answers of the variant that the report is about: the first with results."""
    variants = [name.split("/")[2] for name in right if name.startswith(f"this run/{network}/")]
    names = [f"this run/{network}/{variants[0]}/{seed}" for seed in seeds]
    return np.array([right[name] for name in names])


def test_reports_with_their_evidence_are_committed():
    assert PUBLISHED
    assert sum((folder / "predictions.npz").stat().st_size for folder in PUBLISHED) < 20e6


def has_scores(folder):
    with np.load(folder / "predictions.npz") as saved:
        return "truth" in saved


WITH_PAGE = [folder for folder in PUBLISHED if (folder / "report.md").exists()]
# Earlier versions kept only which answers are right.
WITH_SCORES = [published(folder) for folder in WITH_PAGE if has_scores(folder)]


@pytest.mark.parametrize("folder", WITH_SCORES)
def test_losses_top_5_and_calibration_follow_from_the_committed_predictions(folder):
    networks = list(json.loads((folder / "comparison.json").read_text())["sections"])
    rows = table_rows((folder / "report.md").read_text())
    said = {row[0]: row[1:] for row in rows if len(row) == 1 + len(networks)}
    with np.load(folder / "predictions.npz") as saved:
        names = [name.split("/") for name in saved["names"].tolist()]
        right = np.unpackbits(saved["right"], axis=1, count=saved["predicted"].shape[1])
        arrays = [right, saved["top"].astype(float), saved["truth"].astype(float), saved["above"]]
        right, top, truth, above = (values[saved["rows"]] for values in arrays)
    for column, network in enumerate(networks):
        mine = [n[2] for n in names if n[:2] == ["this run", network]]
        rows = [i for i, n in enumerate(names) if n[:3] == ["this run", network, mine[0]]]

        def shown(what, column=column):
            return float(said[what][column].split()[0])

        assert shown("test loss") == pytest.approx(-truth[rows].mean(), abs=6e-4)
        share = 100 * (above[rows] < 5).mean()
        assert shown("test top-5 accuracy, %") == pytest.approx(share, abs=0.06)
        errors = [calibration_error(right[row], np.exp(top[row])) for row in rows]
        assert shown("test calibration error, points") == pytest.approx(np.mean(errors), abs=0.06)


def calibration_error(right, confidence):
    """In points, over 15 bins of the confidence."""
    bins = np.minimum((confidence * 15).astype(int), 14)
    return 100 * np.abs(np.bincount(bins, right - confidence)).sum() / len(bins)


def test_the_quick_reports_histories_are_those_of_its_trainings():
    history = pd.read_csv(REPOSITORY / "reports/quick/history.csv")
    assert history.groupby("network").size().to_dict() == {"baseline": 8, "resnet": 6}
    metrics = json.loads((REPOSITORY / "reports/quick/metrics.json").read_text())
    best = history.groupby("network")["watched_accuracy"].max()
    for network in ("baseline", "resnet"):
        assert best[network] == pytest.approx(metrics[network]["val_accuracy"], abs=1e-4)


def test_no_images_are_published_whose_licence_does_not_allow_it():
    folders = [file.parent for file in (REPOSITORY / "reports").rglob("params.yaml")]
    sources = {folder: read_yaml(folder / "params.yaml")["data"]["source"] for folder in folders}
    assert set(FREE) < set(sources.values())
    for folder, source in sources.items():
        assert source in FREE or not (folder / "images.html").exists()
        for page in folder.glob("report.html"):
            assert source in FREE or 'class="gallery"' not in page.read_text()


@EACH_REPORT
def test_accuracies_are_those_of_the_committed_predictions(folder):
    figures, right = evidence(folder)
    assert figures["accuracy"]
    for network, said in figures["accuracy"].items():
        hits = of_this_run(right, network, said["right"])
        assert hits.sum(axis=1).tolist() == list(said["right"].values())
        assert said["mean"] == pytest.approx(hits.mean())
        values = hits.mean(axis=1) if len(hits) > 1 else hits[0]
        if np.ptp(values):
            assert (said["low"], said["high"]) == pytest.approx(interval_of(values))


@EACH_REPORT
def test_differences_intervals_and_p_values_follow_from_the_committed_predictions(folder):
    figures, right = evidence(folder)
    for network, said in figures["differences"].items():
        pairs = [of_this_run(right, n, said["by_seed"]) for n in (figures["reference"], network)]
        differences = pairs[1] - pairs[0]
        by_seed = differences.mean(axis=1)
        assert list(said["by_seed"].values()) == pytest.approx(by_seed.tolist())
        assert said["mean"] == pytest.approx(by_seed.mean())
        if len(by_seed) == 1:
            bounds = interval_of(differences[0])
            assert (said["interval_over"], said["p_value"]) == ("images", 1)
        else:
            bounds = interval_of(by_seed)
            flipped = stats.permutation_test(
                (differences.sum(axis=1),), np.mean, permutation_type="samples", n_resamples=10_000
            )
            assert said["p_value"] == pytest.approx(min(1, flipped.pvalue), abs=0.01)
            assert said["new_images"]["low"] <= bounds[0] + 1e-12
            assert said["new_images"]["high"] >= bounds[1] - 1e-12
        assert (said["low"], said["high"]) == pytest.approx(bounds)


def test_contrasts_of_experiments_follow_from_the_committed_predictions():
    checked = 0
    for folder in PUBLISHED:
        figures, right = evidence(folder)
        for kind in ("found", "leads"):
            contrasts = figures.get("contrasts", {}).get(kind, [])
            assert_contrasts_follow(contrasts, right)
            checked += len(contrasts)
    assert checked


@pytest.mark.parametrize("kind", ["found", "leads"])
def test_the_confirmed_contrasts_follow_from_the_committed_predictions(kind):
    contrasts = json.loads((CONFIRM / "comparison.json").read_text())["contrasts"][kind]
    right = {
        name.replace("this run", folder.name): bits
        for folder in PUBLISHED
        if folder.parent == CONFIRM
        for name, bits in evidence(folder)[1].items()
    }
    assert contrasts
    assert_contrasts_follow(contrasts, right)


def test_the_table_of_confirmed_contrasts_follows_from_the_figures():
    contrasts = json.loads((CONFIRM / "comparison.json").read_text())["contrasts"]
    page = (CONFIRM / "README.md").read_text().split("## Results")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (resnet .*?) \| (.*) \|$", page, re.M)
    rows = {name: [cell.strip() for cell in cells.split("|")] for name, cells in lines}
    of_lead = {said["reference"][0]: said for said in contrasts["leads"]}
    of_setting = {said["experiments"][0]: said for said in contrasts["found"]}
    found = {
        row: said[name]
        for known, said in ((NETWORKS, of_lead), (SETTINGS, of_setting))
        for name, row in known.items()
        if name in said
    }
    assert list(rows) == list(found)
    for row, said in found.items():
        p = said["adjusted_p"]
        low, high = 100 * said["low"], 100 * said["high"]
        shown = "yes" if p < 0.05 and low * high > 0 else "no"
        bounds = f"{low:+.2f} to {high:+.2f}"
        assert rows[row] == ["10", f"{100 * said['mean']:+.2f}", bounds, f"{p:.3f}", shown]


def test_the_costs_of_the_confirmed_trainings_follow_from_the_figures():
    page = prose(CONFIRM / "README.md")
    cost = {name: json.loads((CONFIRM / name / "comparison.json").read_text())["cost"]
            for name in ("laptop", "plain")}  # fmt: skip
    baseline, plain, resnet = (
        f"{cost[name][network]['pflop']:.4f}"
        for name, network in (("laptop", "baseline"), ("plain", "baseline"), ("laptop", "resnet"))
    )
    said = f"baseline takes {baseline} PFLOP, the plain network {plain}, the resnet {resnet}"
    assert said in page


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("resnet", r"The resnet reaches (\S+) % with the earlier recipe and (\S+) % with the tuned "
         r"one: (\S+) points more \((\S+) to (\S+), p = (\S+), the smallest"),
        ("baseline", r"The small baseline reaches (\S+) % and (\S+) %: (\S+) points more "
         r"\((\S+) to (\S+), p = (\S+)\), which is not shown"),
    ],
)  # fmt: skip
def test_the_gains_of_the_tuned_recipe_follow_from_its_paired_seeds(network, said):
    earlier = pd.read_csv(CONFIRM / "earlier.csv").query("network == @network")
    history = pd.read_csv(CONFIRM / "laptop/history.csv").query("network == @network")
    tuned = history.groupby("seed")["watched_accuracy"].max()
    pairs = earlier.set_index("seed").assign(tuned=tuned)[["val_accuracy", "tuned"]] * 100
    assert list(pairs.index) == list(range(6, 12))
    gain = (pairs["tuned"] - pairs["val_accuracy"]).to_numpy()
    p = stats.permutation_test((gain,), np.mean, permutation_type="samples").pvalue
    page = prose(CONFIRM / "README.md")
    values = [float(value) for value in re.search(said, page).groups()]
    assert values == pytest.approx([*pairs.mean(), gain.mean(), *interval_of(gain), p], abs=0.051)
    assert values[-1] == pytest.approx(p, abs=6e-4)


def test_other_widths_of_the_baseline_score_what_the_page_says():
    page = prose(CONFIRM / "README.md")
    said = re.search(r"Other widths .*? validation accuracy is (.*?) \(0\.016", page)[1]
    pattern = r"(\S+) % at (?:its own width )?(\S+) and (\d+)"
    found = {(float(w), int(e)): float(score) for score, w, e in re.findall(pattern, said)}
    tried = pd.read_csv(CONFIRM / "shapes.csv").set_index(["width", "epochs"])
    assert found == (100 * tried["val_accuracy"]).round(1).to_dict()
    assert set(tried["seed"]) == {100}
    assert (tried["pflop"].min().round(3), tried["pflop"].max().round(3)) == (0.016, 0.020)


@pytest.mark.parametrize("folder", [published(folder) for folder in WITH_PAGE])
def test_the_page_says_what_the_figures_say(folder):
    figures = json.loads((folder / "comparison.json").read_text())
    text = (folder / "report.md").read_text()
    for said in figures["differences"].values():
        sign = 1 if said["mean"] >= 0 else -1
        low, high = sorted(100 * sign * said[bound] for bound in ("low", "high"))
        interval = f"(95 % interval {low:.1f} to {high:.1f}"
        assert f"ahead by {100 * abs(said['mean']):.1f} points {interval}" in text


def test_the_table_of_the_recipes_parts_follows_from_the_screening():
    folder = REPOSITORY / "reports/recipe"
    table = pd.read_csv(folder / "ablation.csv")
    places = [mine.pivot(index="seed", columns="part", values="val_accuracy")
              for _, mine in table.groupby("where")]  # fmt: skip
    page = (folder / "README.md").read_text()
    text = page.split("## What each part of the screened recipe is worth")[1]
    rows = table_rows(text.split("\n## ")[0])[1:]
    assert len(rows) == sum(scores.shape[1] - 1 for scores in places)
    for part, seeds, accuracy, difference, interval in rows:
        # The page explains some parts in more detail.
        ((scores, name),) = [(s, name) for s in places for name in s if part.startswith(name)]
        paired = scores[["full recipe", name]].dropna()
        found = stats.ttest_rel(paired.iloc[:, 1], paired.iloc[:, 0])
        low, high = found.confidence_interval(0.95)
        assert int(seeds) == len(paired)
        assert accuracy == f"{100 * scores[paired.columns[1]].mean():.1f}"
        assert difference == f"{100 * (paired.iloc[:, 1] - paired.iloc[:, 0]).mean():+.1f}"
        assert interval == f"{100 * low:+.1f} to {100 * high:+.1f}"
    (full,) = [100 * s["full recipe"].dropna() for s in places if len(s["full recipe"]) == 5]
    low, high = stats.ttest_1samp(full, 0).confidence_interval(0.95)
    said = f"accuracy is {full.mean():.1f} % over five seeds ({low:.1f} to {high:.1f})"
    assert said in " ".join(text.split())


def test_the_differences_with_the_earlier_recipe_follow_from_its_figures():
    figures = json.loads((REPOSITORY / "reports/recipe/earlier/comparison.json").read_text())
    page = (REPOSITORY / "reports/recipe/README.md").read_text()
    text = " ".join(page.split("## The earlier recipe of `laptop`")[1].split("\n## ")[0].split())
    found = {(said["network"], said["label"]): said for said in figures["contrasts"]["found"]}
    (wide,) = [s for s in figures["contrasts"]["leads"] if s["changed"] == "baseline: width 0.525"]
    drop = [found[network, "without DropBlock"] for network in ("baseline", "resnet")]
    sentences = [
        (figures["differences"]["resnet"], "points better than the baseline (55.9 %, 0.0177): {1}"),
        (figures["differences"]["resnet"], "(58.9 %, 0.0584 PFLOP) is {0} points better"),
        (wide, "is {0} points better than the resnet ({1})"),
        (found["resnet", "skip_connections False"], "the resnet loses {0} points ({1})"),
        (drop[0], "the baseline gains {0} points ({1})"),
        (drop[1], "and the resnet {0} ({1})"),
    ]
    for said, sentence in sentences:
        low, mean, high = sorted(abs(100 * said[key]) for key in ("low", "mean", "high"))
        assert sentence.format(f"{mean:.1f}", f"{low:.1f} to {high:.1f}") in text
        assert round(said.get("adjusted_p", said.get("p_value")), 3) == 0.031
    accuracy = {name: f"({100 * said['mean']:.1f} %," for name, said in figures["accuracy"].items()}
    assert f"the resnet {accuracy['resnet']}" in text
    assert f"the baseline {accuracy['baseline']}" in text
    blocks = {side: list(found["resnet", f"drop_block_size {side}"]["by_seed"].values())
              for side in (1, 3, 7)}  # fmt: skip
    by_side = 100 * pd.DataFrame(blocks | {5: 0.0})  # relative to the preset's side
    slopes = np.polyfit(by_side.columns, by_side.T, 1)[0]
    low, high = interval_of(slopes)
    said = f"loses {-slopes.mean():.2f} points per pixel of block side ({-high:.2f} to {-low:.2f})"
    assert said in text


def test_short_trainings_with_the_earlier_recipe_differ_as_the_page_says():
    right = right_answers(REPOSITORY / "reports/recipe/earlier/3-epochs.npz", 10_000)
    text = prose(REPOSITORY / "reports/recipe/README.md")
    for sentence, first, second in [
        ("points better than the resnet ({1}) if both", "baseline/dropblock", "resnet/dropblock"),
        ("is {0} points better than the resnet", "baseline/dropblock", "resnet/dropblock"),
        ("0.97, and {0} ({1}) without", "baseline/nodrop", "resnet/nodrop"),
        ("costs the plain network {0} points ({1})", "baseline/nodrop", "baseline/dropblock"),
        ("and the resnet {0} ({1}). The command", "resnet/nodrop", "resnet/dropblock"),
    ]:
        images = [right[f"this run/{first}/{s}"] - right[f"this run/{second}/{s}"]
                  for s in range(20, 26)]  # fmt: skip
        points = 100 * np.mean(images, axis=1)
        bounds = "{:.1f} to {:.1f}".format(*interval_of(points))
        assert sentence.format(f"{points.mean():.1f}", bounds) in text


def table_below(heading):
    """Return the rows of the only table of a section of reports/recipe."""
    page = (REPOSITORY / "reports/recipe/README.md").read_text()
    section = page.split(f"\n{heading}\n")[1].split("\n## ")[0]
    return table_rows(section)[1:]


def test_the_wide_and_the_long_resnets_reach_what_the_page_says():
    page = prose(REPOSITORY / "reports/recipe/README.md")
    for row in pd.read_csv(REPOSITORY / "reports/recipe/resnet.csv").to_dict("records"):
        epochs = f"{row['epochs']} epochs"
        said = page.split(f"of the width and {epochs} ")[1].split("; ")[0]
        assert f"{100 * row['val_accuracy']:.1f} %" in said
        assert f"({row['pflop']:.3f}" in said
    history = pd.read_csv(REPOSITORY / "reports/curve/42-epochs/history.csv")
    ends = history[(history["network"] == "resnet") & (history["variant"] == "nodrop")
                   & (history["epoch"] == 42)]  # fmt: skip
    first, second, third = (100 * ends.set_index("seed")["watched_accuracy"]).sort_index()
    assert f"three seeds reach {first:.1f}, {second:.1f} and {third:.1f} %" in page
    assert f"right on {100 * ends['train_accuracy'].mean():.0f} % of the augmented" in page


def test_the_final_run_of_the_resnet_reaches_what_the_page_says():
    final = pd.read_csv(REPOSITORY / "reports/recipe/final.csv")
    final = final[final["name"] == "final-resnet-0.25"]
    ends = pd.read_csv(REPOSITORY / "reports/resnet/history.csv").query("epoch == 17")
    scores = 100 * final["test_accuracy"]
    low, high = interval_of(scores)
    page = prose(REPOSITORY / "reports/recipe/README.md")
    assert (
        f"reaches a test accuracy of {scores.mean():.1f} %** (six seeds; 95 % interval by "
        f"Student's t {low:.1f} to {high:.1f}; with mirror images "
        f"{100 * final['test_flip_accuracy'].mean():.1f} %) for {final['pflop'].iloc[0]:.3f} PFLOP"
    ) in page
    assert f"they are right on {100 * ends['train_accuracy'].mean():.0f} % of the augmented" in page
    assert len(scores) == len(ends) == 6


def test_what_was_tried_in_the_tutorials_networks_is_in_the_table():
    tried = pd.read_csv(REPOSITORY / "reports/recipe/laptop.csv", keep_default_na=False)
    tried = tried[tried["seed"] == 100]
    single = tried[~tried["changed"].str.contains("label_smoothing")]
    assert len(tried) - len(single) == 12  # the random trials
    rows = table_below("## `sprint`'s parts in the tutorial's networks")
    for place, network in enumerate(("baseline", "resnet"), 1):
        shown = [row[place] for row in rows if row[place]]
        found = 100 * single[single["network"] == network]["val_accuracy"]
        assert sorted(shown) == sorted(f"{accuracy:.1f}" for accuracy in found)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("resnet", r"the resnet reach (\S+) % without it and (\S+) % with it: (\S+) points more "
         r"\(95 % interval by Student's t (\S+) to (\S+); exact sign flips p = 0\.031,"),
        ("baseline", r"the baseline reach (\S+) % without it and (\S+) % with it: (\S+) points "
         r"more \((\S+) to (\S+)\)"),
    ],
)  # fmt: skip
def test_the_paired_seeds_of_a_network_gain_what_the_page_says(network, said):
    tried = pd.read_csv(REPOSITORY / "reports/recipe/laptop.csv", keep_default_na=False)
    tried = tried[tried["network"] == network]
    by_change = tried.pivot(index="seed", columns="changed", values="val_accuracy")
    pairs = 100 * by_change.dropna(axis="columns")  # the other changes have fewer seeds
    assert list(pairs.index) == list(range(100, 106))
    without, change = pairs.columns
    assert without == "" and "initializer=dirac" in change
    gain = (pairs[change] - pairs[without]).to_numpy()
    low, high = stats.ttest_1samp(gain, 0).confidence_interval()
    page = prose(REPOSITORY / "reports/recipe/README.md")
    values = [float(value) for value in re.search(said, page).groups()]
    assert values == pytest.approx([*pairs.mean(), gain.mean(), low, high], abs=0.051)
    assert (gain > 0).all() == (network == "resnet")  # then p is its floor, 2 / 2**6


def test_the_final_runs_of_the_pages_are_those_of_the_table():
    final = pd.read_csv(REPOSITORY / "reports/recipe/final.csv")
    shown = {(row[0], row[3]): row[1:3] + row[4:] for row in table_below("## The frontier")}
    runs = final.groupby(["network", "name", "pflop"])
    assert len(shown) == len(runs)
    for (network, _, pflop), found in runs:
        ((width, parameters, minutes, memory),) = set(
            found[["width", "parameters", "core_minutes", "peak_memory_mb"]]
            .fillna(0)
            .itertuples(index=False, name=None)
        )
        accuracy = f"{100 * found['test_accuracy'].mean():.1f}"
        if len(found) > 1:
            low, high = interval_of(100 * found["test_accuracy"])
            accuracy += f" ({low:.1f} to {high:.1f})"
        assert shown[network, f"{pflop:.3f}"] == [
            width,
            f"{parameters / 1e6:.2f} M",
            str(len(found)),
            accuracy,
            f"{100 * found['test_flip_accuracy'].mean():.1f}",
            f"{minutes:.0f}" if minutes else "",
            f"{memory / 1000:.1f} GB" if memory else "",
        ]
    preset = (REPOSITORY / "presets/accurate.yaml").read_text()
    ends = {n: 100 * mine.loc[mine["pflop"].idxmax(), "test_accuracy"]
            for n, mine in final.groupby("network")}  # fmt: skip
    assert f"resnet {ends['resnet']:.1f} %, baseline {ends['baseline']:.1f} %" in preset


@pytest.mark.parametrize(
    ("folder", "name", "network"),
    [("sprint", "final-sprint", "sprint"), ("sprint-wide", "final-sprint-0.32", "sprint"),
     ("sprint-wider", "final-sprint-0.46", "sprint"),
     ("sprint-widest", "final-sprint-0.96", "sprint"), ("accurate", "accurate", "resnet"),
     ("resnet", "final-resnet-0.25", "resnet"),
     ("confirm/laptop", "laptop", "baseline"), ("confirm/laptop", "laptop", "resnet"),
     ("confirm/plain", "laptop-plain", "baseline")],
)  # fmt: skip
def test_the_final_runs_accuracies_follow_from_the_committed_predictions(folder, name, network):
    final = pd.read_csv(REPOSITORY / "reports/recipe/final.csv")
    runs = final[(final["name"] == name) & (final["network"] == network)]
    _, right = evidence(REPOSITORY / "reports" / folder)
    hits = of_this_run(right, network, runs["seed"])
    assert runs["test_accuracy"].tolist() == pytest.approx(hits.mean(axis=1), abs=5e-5)


def curve_trainings():
    """{(epochs, network, variant): {seed: (images,) answers}} and {(epochs, network): PFLOP}."""
    found, compute = defaultdict(dict), {}
    for folder in [CONFIRM / "nodrop", *(f for f in PUBLISHED if f.parent.name == "curve")]:
        figures, right = evidence(folder)
        params = read_yaml(folder / "params.yaml")
        for name, bits in right.items():
            _, network, variant, seed = name.split("/")
            section = params[figures["sections"][network]]
            epochs = str(section.get("epochs", params["recipe"]["epochs"]))
            word = {"baseline": "plain"}.get(network, network)
            found[epochs, word, variant][int(seed)] = bits
            compute[epochs, word] = figures["cost"][network]["pflop"]
    return found, compute


def test_the_tables_of_the_curve_follow_from_the_committed_predictions():
    trainings, compute = curve_trainings()
    page = (REPOSITORY / "reports/curve/README.md").read_text().split("\n## Results\n")[1]
    rows = {tuple(row[:-5]): row[-5:] for row in table_rows(page)}
    for (*arm, variant), right in trainings.items():
        pflop, seeds, *shown = rows.pop((*arm, variant))
        scores = 100 * np.array([bits.mean() for bits in right.values()])
        assert (float(pflop), int(seeds)) == (round(compute[tuple(arm)], 4), len(scores))
        expected = scores.mean(), *interval_of(scores)
        assert [float(cell) for cell in shown] == pytest.approx(expected, abs=0.0051)
    for epochs in {epochs for epochs, *_ in trainings}:
        pairs = {}
        for name, arms in CONTRASTS.items():
            first, second = (trainings.get((epochs, *arm)) for arm in arms)
            if first and second:
                assert set(first) == set(second)
                pairs[name] = [first[s].sum() - second[s].sum() for s in sorted(first)]
        counts = np.array(list(pairs.values()))
        for name, differences, p in zip(pairs, counts / 100, max_t(counts), strict=True):
            seeds, *numbers, said_p = rows.pop((epochs, name))
            assert int(seeds) == len(differences)
            expected = differences.mean(), *interval_of(differences)
            assert [float(cell) for cell in numbers] == pytest.approx(expected, abs=0.0051)
            assert float(said_p) == pytest.approx(p, abs=6e-4)
    assert {row[0] for row in rows} <= {"epochs"}


def crossings(lead, ahead):
    """PFLOP at which the plain network's lead is 0, and for the ends of both intervals.

    Linear in the logarithm of compute, between 10 and 42 epochs.
    """
    compute = np.array([0.0586, 0.2468])  # of both networks, on average
    (least, most), (low, high) = interval_of(lead), interval_of(ahead)
    pairs = (lead.mean(), ahead.mean()), (least, high), (most, low)
    shares = [first / (first + last) for first, last in pairs]
    return [compute[0] * (compute[1] / compute[0]) ** share for share in shares]


def test_the_sentences_on_the_curve_follow_from_the_predictions():
    trainings, _ = curve_trainings()
    scores = {
        arm: np.array([100 * bits.mean() for _, bits in sorted(right.items())])
        for arm, right in trainings.items()
    }
    lead, said, p = {}, {}, {}
    for epochs in ("3", "10", "42"):
        pairs = {name: scores[epochs, *first] - scores[epochs, *second]
                 for name, (first, second) in CONTRASTS.items()}  # fmt: skip
        p_values = max_t(np.rint(100 * np.array(list(pairs.values()))))
        for (name, differences), value in zip(pairs.items(), p_values, strict=True):
            lead[name, epochs] = -differences
            low, high = interval_of(-differences)
            p[name, epochs] = f"{value:.2f}" if value > 0.1 else f"{value:.3f}"
            said[name, epochs] = f"({low:.1f} to {high:.1f}, p = {p[name, epochs]})"
    with_it, without, plain, resnet = CONTRASTS
    mean = {key: f"{found.mean():.1f}" for key, found in lead.items()}
    shrinks = []
    for name in (without, with_it):
        found = stats.ttest_ind(lead[name, "3"], lead[name, "10"], equal_var=False)
        low, high = found.confidence_interval(0.95)
        change = lead[name, "3"].mean() - lead[name, "10"].mean()
        shrinks.append(f"{change:.1f} points ({low:.1f} to {high:.1f}")
    less = {}
    for name in (plain, resnet):
        found = stats.ttest_ind(lead[name, "3"], lead[name, "42"], equal_var=False)
        low, high = found.confidence_interval(0.95)
        change = lead[name, "3"].mean() - lead[name, "42"].mean()
        less[name] = f"{change:.1f} points ({low:.1f} to {high:.1f})"
    of = {arm: f"{found.mean():.1f}" for arm, found in scores.items()}
    first, last = ((of[n, "plain", "nodrop"], of[n, "resnet", "nodrop"]) for n in ("3", "10"))
    low, high = interval_of(lead[without, "10"])
    none = f"{low:.1f} to {high:.1f}"
    ahead = {name: -lead[name, "42"] for name in CONTRASTS}
    assert all((ahead[name] > 0).all() for name in (with_it, without))
    bounds = {name: interval_of(differences) for name, differences in ahead.items()}
    crossing = {name: crossings(lead[name, "10"], ahead[name]) for name in (with_it, without)}
    longest = {
        name: f"{found.mean():.1f}, {bounds[name][0]:.1f} to {bounds[name][1]:.1f}"
        for name, found in ahead.items()
    }
    pages = {
        "README.md": [
            f"{mean[with_it, '10']} points better {said[with_it, '10']}",
            f"and {none})",
            f"After 42 epochs without it: {ahead[without].mean():.1f} points worse "
            f"({longest[without].partition(', ')[2]}, three seeds)",
        ],
        "reports/confirm/README.md": [
            f"no difference is shown (-{mean[without, '10']} points, {-high:.1f} to {-low:.1f}, "
            f"p = {p[without, '10']})",
            f"plain network is {mean[with_it, '10']} points better {said[with_it, '10']}",
        ],
        "reports/curve/README.md": [
            f"From 3 to 42 epochs its cost shrinks by {less[plain]} in the plain network and by "
            f"{less[resnet]} in the resnet;",
            f"lead is {mean[without, '3']} points after 3 epochs ({first[0]} and {first[1]} % test "
            f"accuracy; 95 % interval {said[without, '3'][1:]}",
            f"({last[0]} and {last[1]} %; {mean[without, '10']} points, {none}, "
            f"p = {p[without, '10']})",
            f"{mean[with_it, '3']} points after 3 epochs {said[with_it, '3']} and "
            f"{mean[with_it, '10']} after 10 {said[with_it, '10']}",
            f"shrinks by {shrinks[0]}) without DropBlock and by {shrinks[1]}) with it",
            f"by {mean[plain, '3']} points each after 3 epochs, after 10 by {mean[plain, '10']} "
            f"(plain) and {mean[resnet, '10']} points (resnet)",
            f"(plain {longest[plain].replace(',', ' points,')}; resnet {longest[resnet]})",
            f"by {ahead[with_it].mean():.1f} points with DropBlock in both "
            f"({of['42', 'resnet', 'dropblock']} and {of['42', 'plain', 'dropblock']} %; "
            f"{longest[with_it].partition(', ')[2]})",
            f"by {ahead[without].mean():.1f} without ({of['42', 'resnet', 'nodrop']} and "
            f"{of['42', 'plain', 'nodrop']} %; {longest[without].partition(', ')[2]})",
            "equal at {:.3f} PFLOP (13 epochs) with DropBlock; at {:.3f} if the differences "
            "after 10 and 42 epochs are at those ends of their intervals that favour the resnet, "
            "at {:.3f} if they are at the others.".format(*crossing[with_it]),
            f"equal at {crossing[without][0]:.3f} PFLOP (11 epochs), at most at "
            f"{crossing[without][2]:.2f};",
        ],
    }
    assert mean[plain, "3"] == mean[resnet, "3"]
    for page, sentences in pages.items():
        text = prose(REPOSITORY / page)
        for sentence in sentences:
            assert sentence in text


def test_with_single_units_in_both_the_difference_is_the_one_on_the_pages():
    (_, plain), (_, resnet) = (evidence(CONFIRM / name) for name in ("plain", "block-1"))
    right = [
        of_this_run(found, network, range(6, 16)).sum(axis=1)
        for found, network in ((plain, "baseline"), (resnet, "resnet"))
    ]
    lead = (right[0] - right[1]) / 100
    low, high = interval_of(lead)
    p = stats.permutation_test((lead,), np.mean, permutation_type="samples").pvalue
    assert f"no difference is shown ({low:.1f} to {high:.1f} and" in prose(REPOSITORY / "README.md")
    said = f"({lead.mean():.1f} points, {low:.1f} to {high:.1f}, p = {p:.2f}, unadjusted)"
    assert said in prose(CONFIRM / "README.md")


def test_after_42_epochs_the_networks_know_their_images_as_well_as_the_page_says():
    history = pd.read_csv(REPOSITORY / "reports/curve/42-epochs/history.csv")
    ends = history[history["epoch"] == 42].groupby(["network", "variant"])["train_accuracy"].mean()
    known = {arm: f"{100 * share:.0f} %" for arm, share in ends.items()}
    page = prose(REPOSITORY / "reports/curve/README.md")
    assert (
        f"right on {known['baseline', 'nodrop']} of the augmented training images "
        f"({known['baseline', 'dropblock']} with DropBlock), the resnet on "
        f"{known['resnet', 'nodrop']} ({known['resnet', 'dropblock']})"
    ) in page


def test_the_trials_of_the_tuning_are_those_declared():
    folder = CONFIRM
    trials = pd.read_csv(folder / "trials.csv", dtype={"trial": str})
    drawn = draw_trials(load_tuning(folder / "tune.yaml"))
    short = trials[(trials["epochs"] == 3) & (trials["seed"] == 200)]
    for _, found in short.groupby("network"):
        assert sorted(found["trial"]) == sorted([*map(str, range(20)), "laptop", "dirac"])
        for _, row in found[found["trial"].str.isdecimal()].iterrows():
            assert {key: row[key] for key in drawn[0]} == drawn[int(row["trial"])]
    assert short["network"].nunique() == 3
    longer = trials[(trials["epochs"] == 10) & (trials["seed"] == 201)]
    assert len(short) + len(longer) == len(trials)
    page = prose(folder / "README.md")
    assert f"has all {len(trials)} trainings" in page and len(trials) == 81
    for network, found in longer.groupby("network"):
        mine = short[short["network"] == network].set_index("trial")["val_accuracy"]
        assert set(found["trial"]) <= set(mine.nlargest(5).index)


def test_the_tables_of_the_tuning_follow_from_its_trials():
    folder = CONFIRM
    trials = pd.read_csv(folder / "trials.csv", dtype={"trial": str})
    score = trials.set_index(["network", "epochs", "trial"])["val_accuracy"] * 100
    text = (folder / "README.md").read_text().split("## What the tuning found")[1]
    page = " ".join(text.split())
    rows = table_rows(text)
    first = {row[0]: row[1:] for row in rows if len(row) == 6 and row[0] != "network"}
    assert first.keys() == set(trials["network"])
    for network, shown in first.items():
        drawn = [score[network, 3, str(trial)] for trial in range(20)]
        of_five = np.mean([max(five) for five in itertools.combinations(drawn, 5)])
        known = [score[network, 3, trial] for trial in ("laptop", "dirac")]
        expected = [*known, statistics.median(drawn), max(drawn), of_five]
        assert list(map(float, shown)) == pytest.approx(expected, abs=0.0501)
    longer = trials[trials["epochs"] == 10]
    second = {tuple(row[:2]): row[2:] for row in rows if len(row) == 11 and row[0] != "network"}
    assert second.keys() == set(zip(longer["network"], longer["trial"], strict=True))
    for row in longer.to_dict("records"):
        long, short, *values = second[row["network"], row["trial"]]
        expected = [score[row["network"], epochs, row["trial"]] for epochs in (10, 3)]
        assert [float(long), float(short)] == pytest.approx(expected, abs=0.0501)
        keys = load_tuning(folder / "tune.yaml").spaces
        assert values == [f"{row[k]:.3g}" if isinstance(row[k], float) else str(row[k])
                          for k in keys]  # fmt: skip
    best = score[:, 3].groupby("network").max()
    for known, points in [
        (score[:, 3, "laptop"], "is {:.1f} points better than the resnet"),
        (best, "With the best of 22 recipes for each, the gaps are {:.1f}"),
    ]:
        assert points.format(known["plain"] - known["resnet"]) in page


@pytest.mark.parametrize(("number", "kind"), [(0, "Validation"), (1, "Test")])
def test_the_accuracy_in_pytorch_is_compared_as_the_page_says(number, kind):
    runs = json.loads((REPOSITORY / "reports/benchmarks/torch_sprint.json").read_text())
    rows = pd.DataFrame(runs[number]["rows"])
    in_pytorch = rows["contender"].str.contains("PyTorch")
    scores = [100 * rows[chosen]["accuracy"] for chosen in (~in_pytorch, in_pytorch)]
    page = prose(REPOSITORY / "benchmarks/README.md")
    said = re.search(
        rf"{kind} accuracy is (\S+) % here \(range (\S+) to (\S+)\) and (\S+) % in PyTorch "
        r"\((\S+) to (\S+)\), a difference of (\S+) points \(Welch's t, 95 % interval (\S+) to "
        r"(\S+)\)",
        page,
    )
    found = stats.ttest_ind(*scores, equal_var=False).confidence_interval(0.95)
    ends = [value for values in scores for value in (values.mean(), values.min(), values.max())]
    expected = [*ends, scores[0].mean() - scores[1].mean(), found.low, found.high]
    assert [float(value) for value in said.groups()] == pytest.approx(expected, abs=0.051)


def test_others_recipes_name_their_source():
    published = pd.read_csv(REPOSITORY / "reports/recipe/published.csv")
    assert published["source"].str.startswith("github.com/").all()
    assert published["test_accuracy"].between(0.5, 0.9).all()


def test_the_table_of_injected_faults_follows_from_their_log():
    folder = REPOSITORY / "reports/reliability"
    page = (folder / "README.md").read_text()
    with (folder / "faults.csv").open() as file:
        faults = list(csv.DictReader(file))
    found = Counter(fault["verdict"] for fault in faults)
    verdicts = ", ".join(f"{found[name]} {name}" for name in ("survived", "repaired", "lost"))
    assert f"**{len(faults)} faults: {verdicts}.**" in page
    readme = prose(REPOSITORY / "README.md")
    said = (
        f"Of [{len(faults)} injected faults](reports/reliability/README.md), {found['lost']} lost "
        f"a result, because of three bugs fixed since; {found['repaired']} needed a repair."
    )
    assert said in readme
    for column in ("way", "fault"):
        for name in {fault[column] for fault in faults}:
            own = [fault for fault in faults if fault[column] == name]
            counts = [sum(f["verdict"] == v for f in own) for v in ("survived", "repaired", "lost")]
            times = [float(fault["lost_cpu_seconds"]) for fault in own]
            cells = [len(own), *counts, round(statistics.median(times)), round(max(times))]
            (row,) = [line for line in page.splitlines() if line.startswith(f"| {name} ")]
            assert row.replace(" ", "").strip("|").split("|")[1:] == list(map(str, cells))
