"""The parts of a section of the report."""

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

POINTS = 72  # an inch; the unit of the figures' SVG


class Reading(NamedTuple):
    """What a figure's curves show at a place on the x-axis of its first axes, in lines."""

    x: float
    lines: list[str]


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: the file's name without its extension.
        alt: what it shows, for people who cannot see it.
        on_white: whether it needs a white background, also on a dark page.
        readings: shown in the HTML while the pointer is over the nearest place, in order of x.
    """

    name: str
    figure: Figure
    alt: str
    on_white: bool = False
    readings: list[Reading] = field(default_factory=list)

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG file. Drawn once, which takes a third of a second."""
        file = io.StringIO()
        # Keep text as text. A fixed salt and no metadata: the same figure gives the same bytes.
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": self.name}):
            self.figure.savefig(file, format="svg", metadata=nothing)
        plt.close(self.figure)
        return file.getvalue()


class Picture(NamedTuple):
    """An image of the data, (height, width, 3) uint8, and what stands under it, in lines."""

    pixels: np.ndarray
    lines: list[str]


@dataclass(frozen=True)
class Gallery:
    """Images of the data in a row; only the HTML shows them."""

    pictures: list[Picture]


# A paragraph in Markdown, a table with its index, a figure, or images of the data.
Part: TypeAlias = str | pd.DataFrame | Drawing | Gallery


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        about: what it shows, in one sentence.
        parts: its paragraphs, tables and figures, in order.
    """

    title: str
    about: str
    parts: list[Part]
