"""The parts of a section of the report."""

from dataclasses import dataclass, field
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: the file's name without its extension.
        alt: what it shows, for people who cannot see it.
        on_white: whether it needs a white background, also on a dark page.
    """

    name: str
    figure: Figure
    alt: str
    on_white: bool = False


# A paragraph in Markdown, a table with its index, or a figure.
Part: TypeAlias = str | pd.DataFrame | Drawing


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        about: what it shows, in one sentence.
        parts: its paragraphs, tables and figures, in order.
        data: the tables behind `dvc plots show`, by file name without extension.
    """

    title: str
    about: str
    parts: list[Part]
    data: dict[str, pd.DataFrame] = field(default_factory=dict)
