"""What the report's intervals and p-values mean, and how reliable they are."""

from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import counted, format_p
from pipeline.reporting.p_values import smallest_p
from pipeline.reporting.section import Section

TITLE = "How to read the statistics"
ABOUT = "What the intervals and p-values of all sections mean, and how reliable they are."

ONE_SEED = (
    "With a single seed, the 95 % intervals are Student's t over the test images, for these fitted "
    "models only: they do not show how much results change with the seed."
)
SEEDS = (
    "The 95 % intervals are Student's t over the seeds (or the seeds' differences), on these test "
    "images. They are not adjusted for the number of comparisons."
)
P_VALUES = (
    "*p, sign flips* comes from flipping the signs of the seeds' differences, on these images. "
    "With {seeds} its smallest possible value, the floor, is {floor}. It is valid only if the "
    "number of seeds was fixed before any result was seen."
)
MCNEMAR = (
    "*McNemar p* compares the two *fitted models* of one seed on the same images; it does not show "
    "how much results change with the seed."
)
NEW_IMAGES = (
    "*Other seeds and other test images*: the images' variance is added; the interval is never "
    "narrower than the one over seeds. In the simulations it contains the true difference in at "
    "least 94 % of cases, unless seeds collapse. No p-value is given for other images."
)
RELIABLE = (
    "In simulations with this code (`benchmarks/coverage`) where the seeds vary symmetrically, the "
    "interval over the seeds contains the true difference in 94.5 to 95.2 % of cases with 2 to 10 "
    "seeds, and p is below 0.05 in at most 5 % of cases without a difference. If a third of the "
    "seeds collapse (end far below the others), the interval contains it in only 68 % of cases "
    "with 3 seeds and 90 % with 6, and p is below 0.05 in 9 %. So look at each seed's difference."
)
COLLAPSES = (
    "**Six seeds can miss rare collapses**: if one seed in ten loses 7 times the spread of the "
    "others, the interval contains the true difference in 85 % of cases with 6 seeds, and if it "
    "loses 20 times the spread, in 49 %; p is then below 0.05 in 10 % and 47 % of cases without a "
    "difference."
)


def make(findings: Findings) -> Section:
    """Explain what this page's statistics are."""
    seeds, compared = len(findings.results.seeds), bool(findings.comparisons)
    several = seeds > 1
    p_values = P_VALUES.format(seeds=counted(seeds, "seed"), floor=format_p(smallest_p(seeds)))
    lines = [SEEDS if several else ONE_SEED]
    lines += [MCNEMAR] if compared else []
    lines += [p_values, NEW_IMAGES, RELIABLE, COLLAPSES] if compared and several else []
    return Section(TITLE, ABOUT, ["\n".join(f"- {line}" for line in lines)])
