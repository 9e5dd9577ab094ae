"""The report as Markdown, and as one HTML page with the figures inside."""

import base64
import re
from pathlib import Path

import jinja2
import pandas as pd
from markdown_it import MarkdownIt

from pipeline.reporting.findings import Findings
from pipeline.reporting.headline import headline, title, verdicts, warnings
from pipeline.reporting.section import Drawing, Part, Section
from pipeline.reporting.sections import (
    calibration,
    classes,
    difference,
    dropblock,
    duplicates,
    experiments,
    generalisation,
    learning,
    likeness,
    planning,
    protocol,
    summary,
)

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    summary,
    difference,
    planning,
    likeness,
    learning,
    generalisation,
    calibration,
    classes,
    dropblock,
    duplicates,
    experiments,
    protocol,
)


def make_sections(findings: Findings) -> list[Section]:
    """Return the sections that these findings allow, in order."""
    sections = (section.make(findings) for section in SECTIONS)
    return [section for section in sections if section is not None]


def drawings(sections: list[Section]) -> list[Drawing]:
    """Return the figures of all sections."""
    return [part for s in sections for part in s.parts if isinstance(part, Drawing)]


def render_markdown(findings: Findings, sections: list[Section]) -> str:
    """Fill the Markdown template."""
    template = _environment().get_template("report.md.j2")
    text = template.render(
        title=title(findings.results),
        headline=headline(findings),
        verdicts=verdicts(findings),
        warnings=warnings(findings.results),
        sections=sections,
    )
    return text.rstrip() + "\n"


def render_html(markdown: str, folder: Path) -> str:
    """Turn the Markdown into one HTML page; `folder` holds the figures that it links."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)

    def embed(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="(figures/[^"]+)"', embed, body)
    body = re.sub(r"<table>.*?</table>", r'<div class="table">\g<0></div>', body, flags=re.DOTALL)
    heading = markdown.splitlines()[0].removeprefix("# ")
    return _environment().get_template("report.html.j2").render(title=heading, body=body)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = as_markdown
    return environment


def as_markdown(part: Part) -> str:
    """Write a part of a section in Markdown."""
    if isinstance(part, Drawing):
        return f"![{part.alt}](figures/{part.name}.png)"
    if isinstance(part, pd.DataFrame):
        return markdown_table(part)
    return part


def markdown_table(table: pd.DataFrame) -> str:
    """Write a table with its index, columns with numbers to the right; nothing for an empty one."""
    if table.empty:
        return ""
    text = table.reset_index().map(lambda v: f"{v:.1f}" if isinstance(v, float) else escape(str(v)))
    numbers = text.apply(lambda column: column.str.match(r"(< )?[-+]?\d").any())
    alignment = ["right" if right else "left" for right in numbers]
    return text.to_markdown(index=False, disable_numparse=True, colalign=alignment)


def escape(text: str) -> str:
    """Keep names from ending a table's cell or becoming HTML; a `<` before a space is harmless."""
    return re.sub(r"[\\|]|<(?! )", r"\\\g<0>", text)
