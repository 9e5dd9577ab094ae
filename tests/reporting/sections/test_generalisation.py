from pipeline.reporting.sections.generalisation import gap_table


def test_the_gap_is_training_minus_test(loaded):
    one = loaded.of("dropblock")
    rows = one.of_network("resnet")
    gaps = 100 * (rows["best_train_accuracy"] - rows["best_test_accuracy"])
    shown = gap_table(one).loc["accuracy, training minus test, points", "resnet"]
    assert shown == f"{gaps.mean():.1f} ± {gaps.std():.1f}"
