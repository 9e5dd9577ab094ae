"""Write the report as Markdown and as one HTML page with embedded figures."""

import base64
import html
import io
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from PIL import Image

from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import escape
from pipeline.reporting.headline import headline, title, verdicts, warnings
from pipeline.reporting.section import Drawing, Gallery, Part, Section
from pipeline.reporting.sections import (
    ablation,
    calibration,
    classes,
    difference,
    dropblock,
    duplicates,
    images,
    learning,
    overview,
    planning,
    protocol,
    statistics,
    summary,
)
from pipeline.reporting.svg import embed

TEMPLATES = Path(__file__).parent / "templates"
LARGEST = 96  # pixels per side of an image of the data, as shown; larger ones are shrunk
SECTIONS = (
    difference,
    planning,
    ablation,
    summary,
    learning,
    calibration,
    classes,
    images,
    dropblock,
    duplicates,
    statistics,
    protocol,
)
# If the test images were not scored: the sections that help to choose a recipe.
WITHOUT_TEST = (ablation, summary, learning, dropblock, protocol)


@dataclass(frozen=True)
class Page:
    """All that the report shows.

    Attributes:
        title: the question.
        headline: the answer in a sentence.
        verdicts: what may be claimed, and in what else the networks differ.
        warnings: what makes the results incomplete, not comparable or useless.
        overview: one figure and one table.
        sections: everything else.
        run: what was compared and when, in a line.
    """

    title: str
    headline: str
    verdicts: list[str]
    warnings: list[str]
    overview: list[Part]
    sections: list[Section]
    run: str = ""

    @property
    def drawings(self) -> list[Drawing]:
        """All figures."""
        parts = [*self.overview, *(part for section in self.sections for part in section.parts)]
        return [part for part in parts if isinstance(part, Drawing)]


def make_page(findings: Findings) -> Page:
    """Return the page for these findings."""
    shown = SECTIONS if findings.results.scored == "test" else WITHOUT_TEST
    made = (section.make(findings) for section in shown)
    sections = [section for section in made if section is not None]
    with_ablation = any(section.title == ablation.TITLE for section in sections)
    return Page(
        title(findings.results),
        headline(findings),
        [*verdicts(findings), *ablation.unequal(findings, with_ablation)],
        warnings(findings),
        overview.make(findings),
        sections,
        protocol.describe_run(findings.results, findings.params),
    )


def make_images_page(findings: Findings) -> Page:
    """Return the page with the test images alone, if they were scored."""
    parts = images.galleries(findings) if findings.results.scored == "test" else []
    return Page(images.TITLE, images.about(findings), [], [], parts, [])


def write_page(page: Page, folder: Path) -> None:
    """Write the page into a folder, as report.md with figures/ and as one file, report.html."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(render_markdown(page))
    (folder / "report.html").write_text(render_html(page))
    for drawing in page.drawings:
        (figures / f"{drawing.name}.svg").write_text(drawing.svg)


def render_markdown(page: Page) -> str:
    """Render the page in Markdown, with links to the figures' files."""
    text = _environment().get_template("report.md.j2").render(vars(page))
    return text.rstrip() + "\n"


def render_html(page: Page) -> str:
    """Render the page as one HTML file, figures included."""
    return _environment().get_template("report.html.j2").render(vars(page))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"markdown": as_markdown, "html": as_html, "anchor": anchor}
    environment.globals["largest"] = LARGEST
    return environment


def show(gallery: Gallery) -> str:
    """Render images of the data with what stands under them."""
    shown = []
    for pixels, lines in gallery.pictures:
        image, file = Image.fromarray(pixels), io.BytesIO()
        image.thumbnail((LARGEST, LARGEST))
        image.save(file, "PNG")
        source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        said = "<br>".join(map(html.escape, lines))
        shown.append(f'<figure><img src="{source}" alt=""><figcaption>{said}</figcaption></figure>')
    return f'<div class="gallery">{"".join(shown)}</div>'


def anchor(title: str) -> str:
    """Return the anchor that GitHub gives a heading: `is-it-real` for `Is it real?`.

    >>> anchor("Is the difference real?")
    'is-the-difference-real'
    """
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def as_html(part: Part) -> str:
    """Render a part of a section in HTML: pictures inline, everything else through Markdown."""
    if isinstance(part, Drawing):
        return embed(part)
    if isinstance(part, Gallery):
        return show(part)
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(as_markdown(part))
    body = re.sub(r"(?<=\d) %", "&nbsp;%", body)
    return re.sub(r"<table>.*?</table>", r'<div class="table">\g<0></div>', body, flags=re.DOTALL)


def as_markdown(part: Part) -> str:
    """Render a part of a section in Markdown."""
    if isinstance(part, Drawing):
        return f"![{part.alt}](figures/{part.name}.svg)"
    if isinstance(part, Gallery):
        return "(The images are in images.html.)"
    if isinstance(part, pd.DataFrame):
        return markdown_table(part)
    return part


def markdown_table(table: pd.DataFrame) -> str:
    """Render a table with its index, numeric columns right-aligned; an empty table as ""."""
    if table.empty:
        return ""
    text = table.reset_index().rename(columns=lambda name: escape(str(name)))
    text = text.map(lambda v: f"{v:.1f}" if isinstance(v, float) else escape(str(v)))
    numbers = text.apply(lambda column: column.str.match(r"(< )?[-+]?\d").any())
    alignment = ["right" if right else "left" for right in numbers]
    return text.to_markdown(index=False, disable_numparse=True, colalign=alignment)
