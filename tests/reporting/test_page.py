import matplotlib.pyplot as plt
import pandas as pd

from pipeline.reporting.page import as_markdown, drawings, markdown_table, render_html
from pipeline.reporting.section import Drawing, Section


def test_numbers_stand_to_the_right_and_names_to_the_left():
    table = pd.DataFrame({"name": ["a", "b"], "x, %": [1.25, -3.0], "p": ["< 0.001", "0.5"]})
    lines = markdown_table(table.set_index("name")).splitlines()
    rule = [cell.strip() for cell in lines[1].strip("|").split("|")]
    assert rule[0].startswith(":") and not rule[0].endswith(":")
    assert all(cell.endswith(":") and not cell.startswith(":") for cell in rule[1:])
    assert [c.strip() for c in lines[2].strip("|").split("|")] == ["a", "1.2", "< 0.001"]


def test_an_empty_table_is_nothing():
    assert markdown_table(pd.DataFrame()) == ""


def test_names_cannot_end_a_cell_or_become_html():
    table = pd.DataFrame({"class": ["<b>x|y"], "n": [1]}).set_index("class")
    assert "\\<b>x\\|y" in markdown_table(table)


def test_a_figure_is_linked_with_what_it_shows():
    drawing = Drawing("seeds", None, "Accuracy of each seed")
    assert as_markdown(drawing) == "![Accuracy of each seed](figures/seeds.png)"
    assert as_markdown("A paragraph.") == "A paragraph."
    assert drawings([Section("A", ["text", drawing]), Section("B", [])]) == [drawing]


def test_the_page_holds_its_figures_and_no_script(tmp_path):
    (tmp_path / "figures").mkdir()
    figure, _ = plt.subplots()
    figure.savefig(tmp_path / "figures/a.png")
    plt.close(figure)
    markdown = "# Which one?\n\n![A](figures/a.png)\n\n<script>x</script>\n"
    page = render_html(markdown, tmp_path)
    assert "<title>Which one?</title>" in page
    assert 'src="data:image/png;base64,' in page
    assert "<script" not in page
