"""What a section of the report is made of."""

from dataclasses import dataclass, field
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: its file's, without an ending.
        alt: what it shows, for those who can't see it.
        on_white: whether it needs a white ground, also on a dark page.
    """

    name: str
    figure: Figure
    alt: str
    on_white: bool = False


# A paragraph in Markdown, a table with its index, a figure.
Part: TypeAlias = str | pd.DataFrame | Drawing


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        about: what it shows, in one sentence.
        parts: what it shows, in order.
        data: the tables behind `dvc plots show`, by file name without an ending.
    """

    title: str
    about: str
    parts: list[Part]
    data: dict[str, pd.DataFrame] = field(default_factory=dict)
