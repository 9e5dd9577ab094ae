from pipeline.reporting.sections.dropblock import ablation_table


def test_the_ablation_sets_the_same_seeds_with_and_without_dropblock_side_by_side(loaded):
    table = ablation_table(loaded, samples=1_000)
    with_block, without = (loaded.of(v).hits("resnet", [0, 1]).mean() for v in loaded.variants)
    assert table.loc["with DropBlock", "resnet"].startswith(f"{100 * with_block:.1f} %")
    added = table.loc["what DropBlock adds", "resnet"]
    assert added.startswith(f"{100 * (with_block - without):+.1f} points")
