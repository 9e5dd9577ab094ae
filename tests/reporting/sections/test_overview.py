from pipeline.reporting.findings import Findings
from pipeline.reporting.sections.overview import key_table


def test_the_table_has_the_few_figures_to_know_first(loaded, params):
    one = loaded.of("dropblock")
    table = key_table(Findings(params, one, one, {}))
    accuracy = 100 * one.of_network("resnet")["best_test_accuracy"]
    expected = f"{accuracy.mean():.1f} ± {accuracy.std(ddof=1):.1f}"
    assert table.loc["test accuracy, %", "resnet"] == expected
    cost = ["parameters", "training compute", "training time, minutes"]
    assert table.loc[cost, "baseline"].tolist() == ["1,000", "3 TFLOP", "0.1"]
    assert len(table) <= 6
