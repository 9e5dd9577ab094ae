from dataclasses import replace

from pipeline.reporting.sections.summary import has_score, published_table, summary_table


def test_the_summary_has_means_and_deviations_over_seeds(loaded):
    one = loaded.of("dropblock")
    table = summary_table(one, top_k=5)
    values = 100 * one.metrics.query("network == 'resnet'")["best_test_accuracy"]
    expected = f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
    assert table.loc["test accuracy, %", "resnet"] == expected
    assert table.loc["parameters", "baseline"] == "1,000"
    shown = {"train loss", "validation top-5 accuracy, %", "test calibration error, points",
             "peak memory, MB", "training time, minutes", "compute of a forward pass",
             "epochs run", "best epoch"}  # fmt: skip
    assert shown <= set(table.index)


def test_the_last_weights_are_shown_only_if_they_are_not_the_best(loaded):
    one = loaded.of("dropblock")
    last = "test accuracy after the last epoch, %"
    earlier = one.metrics.assign(best_epoch=one.metrics["epochs"] - 1)
    assert last in summary_table(replace(one, metrics=earlier), top_k=5).index
    same = one.metrics.assign(best_epoch=one.metrics["epochs"])
    assert last not in summary_table(replace(one, metrics=same), top_k=5).index


def test_the_gap_is_how_much_better_the_networks_are_on_training_images(loaded):
    one = loaded.of("dropblock")
    rows = one.of_network("resnet")
    gaps = 100 * (rows["best_train_accuracy"] - rows["best_test_accuracy"])
    shown = summary_table(one, top_k=5).loc["accuracy, train minus test, points", "resnet"]
    assert shown == f"{gaps.mean():.1f} ± {gaps.std():.1f}"


def test_superclasses_are_scored_if_there_are_any(loaded):
    one = loaded.of("dropblock")
    assert not has_score(one, "superclass_accuracy")
    coarse = replace(one, metrics=one.metrics.assign(best_test_superclass_accuracy=0.75))
    table = summary_table(coarse, top_k=5)
    assert table.loc["test superclass accuracy, %", "resnet"] == "75.0"
    assert has_score(coarse, "superclass_accuracy")


def test_the_published_figures_stand_beside_this_runs(loaded):
    table = published_table(loaded.of("dropblock"), ["baseline", "model"])
    assert table.loc["part 7: residual network", "test accuracy, %"] == "70.7"
    mean = loaded.of("dropblock").metrics.query("network == 'resnet'")["best_test_accuracy"].mean()
    assert table.loc["this run: resnet (part 7)", "test accuracy, %"] == f"{100 * mean:.1f}"
