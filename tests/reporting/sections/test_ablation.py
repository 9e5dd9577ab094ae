from scipy import stats

from pipeline.reporting.findings import find
from pipeline.reporting.page import make_page
from pipeline.reporting.sections import ablation
from tests.conftest import checked


def test_the_table_sets_the_same_seeds_with_and_without_dropblock_side_by_side(loaded):
    table = ablation.ablation_table(loaded)
    with_block, without = (loaded.of(v).hits("resnet").mean() for v in loaded.variants)
    assert table.loc["each its own DropBlock", "resnet"].startswith(f"{100 * with_block:.1f} %")
    added = table.loc["each its own DropBlock, minus without", "resnet"]
    assert added.startswith(f"{100 * (with_block - without):+.1f} points")


def test_the_last_corner_is_how_much_more_a_network_gains_than_the_reference(loaded):
    gained = {
        (name, variant): loaded.of(variant).hits(name).mean(axis=1)
        for name in ("baseline", "resnet")
        for variant in ("dropblock", "nodrop")
    }
    lead, lead_without = (
        gained["resnet", variant] - gained["baseline", variant] for variant in loaded.variants
    )
    by_seed = 100 * (lead - lead_without)
    half = stats.t.ppf(0.975, 1) * by_seed.std(ddof=1) / 2**0.5
    shown = ablation.ablation_table(loaded).loc[
        "each its own DropBlock, minus without", "resnet minus baseline"
    ]
    mean = by_seed.mean()
    assert shown == f"{mean:+.1f} points ({mean - half:+.1f} to {mean + half:+.1f})"


def test_skip_connections_are_removed_only_from_a_trained_network(made_results):
    for network, told in (("model", True), ("sprint", False)):
        chosen = {"networks": ["baseline", network], "variants": ["dropblock", "nodrop"]}
        made_results(**chosen)
        values = {f"train.{key}": value for key, value in chosen.items()}
        *_, note = ablation.ablation(find(checked(**values, **{"sprint.epochs": 6})))
        assert ("-S model.skip_connections=false" in note) == told


def test_skip_connections_that_are_gone_are_not_removed_again(made_results):
    variants = ["dropblock", "nodrop"]
    made_results(variants=variants)
    gone = checked(**{"train.variants": variants, "model.skip_connections": False})
    *_, note = ablation.ablation(find(gone))
    assert "skip_connections" not in note


def test_validation_scores_show_the_variants_too(made_results):
    params = made_results([0, 1], scored="val", variants=["dropblock", "nodrop"])
    sections = {section.title: section for section in make_page(find(params)).sections}
    table, note = sections[ablation.TITLE].parts[1:3]
    assert "without DropBlock" in table.index
    assert note.startswith("Validation accuracy by network")


def test_the_page_says_what_differs_beside_the_architecture(made_results):
    (said,) = ablation.unequal(find(made_results()), True)
    for shown in (
        "single units, keep 0.95 in the baseline",
        "5x5 blocks, keep 1 to 0.95 in the resnet",
    ):
        assert shown in said


def test_a_network_alone_is_unlike_none(made_results):
    assert ablation.unequal(find(made_results(networks=["model"])), True) == []


def test_unequal_compute_is_said_with_the_command_that_makes_it_equal(made_results):
    findings = find(made_results())
    assert ablation.as_expensive(findings) == []
    findings.results.metrics.loc[findings.results.metrics["network"] == "resnet", "pflop"] *= 4
    _, said = ablation.as_expensive(findings)
    assert "Training the resnet takes 4.0 times the compute of training the baseline" in said
    assert "`python -m pipeline match baseline --to model` finds the width" in said


def test_only_networks_with_dropblock_are_told_to_train_its_variants(made_results):
    (said,) = ablation.make(find(made_results(networks=["model"]))).parts
    assert "and with DropBlock of single units, keep 0.85, throughout" in said
    made_results(networks=["baseline", "sprint"])
    mixed = checked(**{"sprint.epochs": 6, "train.networks": ["baseline", "sprint"]})
    assert (
        "This also trains the networks with DropBlock twice more: without DropBlock"
        in ablation.make(find(mixed)).parts[0]
    )
    made_results(networks=["sprint"])
    sprint = checked(**{"sprint.epochs": 6, "train.networks": ["sprint"]})
    assert ablation.make(find(sprint)) is None
