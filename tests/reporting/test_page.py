import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from pipeline.reporting.page import (
    Page,
    as_html,
    as_markdown,
    markdown_table,
    render_html,
    render_markdown,
)
from pipeline.reporting.section import Drawing, Section


def test_numbers_stand_to_the_right_and_names_to_the_left():
    table = pd.DataFrame({"name": ["a", "b"], "x, %": [1.25, -3.0], "p": ["< 0.001", "0.5"]})
    lines = markdown_table(table.set_index("name")).splitlines()
    rule = [cell.strip() for cell in lines[1].strip("|").split("|")]
    assert rule[0].startswith(":") and not rule[0].endswith(":")
    assert all(cell.endswith(":") and not cell.startswith(":") for cell in rule[1:])
    assert [c.strip() for c in lines[2].strip("|").split("|")] == ["a", "1.2", "< 0.001"]


def test_a_network_named_with_a_bar_breaks_no_table():
    table = pd.DataFrame({"a|b, %": ["1.0"]}, index=pd.Index(["c|d"], name="class"))
    head, _, row = markdown_table(table).splitlines()
    assert (head.count(r"\|"), row.count(r"\|")) == (1, 1)


def test_an_empty_table_is_nothing():
    assert markdown_table(pd.DataFrame()) == ""


PICTURE = "![x](http://attacker.example/x.png)"


@pytest.mark.parametrize("name", [PICTURE, f"a\\{PICTURE}", "`a`", "**a**", "[a](http://b)"])
def test_markdown_in_a_name_is_text(name):
    """In report.md as in report.html; no browser fetches anything."""
    html = as_html(pd.DataFrame({"class": [name], "n": [1]}).set_index("class"))
    (cell,) = re.findall(r"<td[^>]*>([^1]*?)</td>", html, re.DOTALL)
    assert cell == name


def test_a_figure_is_linked_with_what_it_shows():
    drawing = Drawing("seeds", None, "Accuracy of each seed")
    assert as_markdown(drawing) == "![Accuracy of each seed](figures/seeds.svg)"
    assert as_markdown("A paragraph.") == "A paragraph."


@pytest.fixture
def drawn():
    figure, axis = plt.subplots(figsize=(5, 3))
    axis.set(xlabel="epoch <b>")
    return figure


def page_of(drawn):
    parts = ["Yes, at <b>p</b> < 0.05.", Drawing("a", drawn, 'A "b"')]
    sections = [Section("Is it real?", "What chance makes.", parts)]
    return Page(
        title="Which <one>?",
        headline="The resnet.",
        verdicts=["Sure."],
        warnings=["<script>x</script>"],
        overview=["First."],
        sections=sections,
    )


def test_the_page_holds_its_figures_and_no_script(drawn):
    page = page_of(drawn)
    html = render_html(page)
    assert page.drawings[0].name == "a"
    assert "<title>Which &lt;one&gt;?</title>" in html
    assert html.count("<svg") == 1
    assert 'role="img" aria-label="A &quot;b&quot;"' in html
    assert "epoch &lt;b&gt;" in html
    assert "<script" not in html
    assert "<b>" not in html


def test_the_verdict_and_the_overview_come_before_the_contents_and_the_sections(drawn):
    for text in (render_html(page_of(drawn)), render_markdown(page_of(drawn))):
        places = [
            text.index(part) for part in ("The resnet.", "Sure.", "First.", "Contents", "Yes")
        ]
        assert places == sorted(places)


def test_a_folded_section_says_what_it_shows(drawn):
    html = render_html(page_of(drawn))
    assert "What chance makes." in html.split("<summary>")[1].split("</summary>")[0]
    assert "## Is it real?\n\n*What chance makes.*\n" in render_markdown(page_of(drawn))


def test_each_line_of_the_contents_opens_its_section(drawn):
    html = render_html(page_of(drawn))
    (link,) = re.findall(r'<li><a href="#([^"]+)">Is it real\?</a>', html)
    inside = html.split("<details>")[1].split("</summary>")[1].split("</details>")[0]
    assert f'id="{link}"' in inside  # inside of what is closed: a link to it opens it
    assert f"](#{link})" in render_markdown(page_of(drawn))
    assert "## Is it real?" in render_markdown(page_of(drawn))
