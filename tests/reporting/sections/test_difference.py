from pipeline.reporting.sections.difference import seeds_table


def test_each_seeds_models_are_compared_on_the_same_images(loaded):
    one = loaded.of("dropblock")
    table = seeds_table(one, "resnet")
    baseline, resnet = (one.hits(name, [1])[0] for name in ("baseline", "resnet"))
    assert table.loc[1, "only resnet right"] == (resnet & ~baseline).sum()
    assert table.loc[1, "baseline, %"] == f"{100 * baseline.mean():.2f}"
