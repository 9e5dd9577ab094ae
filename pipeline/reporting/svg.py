"""Figures inline in the HTML page: in its colours, with readings while the pointer is over them."""

import html
import itertools
import re

from pipeline.reporting.section import POINTS, Drawing

CSS_PIXELS = 96  # an inch
NARROWEST = 0.62  # of a figure's width; below it, it scrolls, as smaller text would be unreadable
LINE, LETTER = 10, 4.4  # a reading's line and the mean letter, in points
GAP = 5  # points around a reading


def embed(drawing: Drawing) -> str:
    """Return a figure for the HTML page: sharp at any size, in the page's colours.

    Black and dark grey become the page's text colour and white its background, so that the figure
    also suits a dark page; unless the figure needs its white background.
    """
    svg = drawing.svg[drawing.svg.index("<svg") :]
    if not drawing.on_white:
        svg = re.sub(r"#(000000|262626|333333)\b", "currentColor", svg)
        svg = re.sub(r"fill: #ffffff\b", "fill: var(--ground)", svg)
        svg = re.sub(r"#cccccc\b", "var(--grid)", svg)
    width = round(drawing.figure.get_figwidth() * CSS_PIXELS)
    size = f'style="min-width: {round(width * NARROWEST)}px"'
    label = f'role="img" aria-label="{html.escape(drawing.alt)}"'
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf"<svg \1 {size} {label}>", svg, count=1)
    if drawing.readings:
        svg = svg.replace("</svg>", f"{_readings(drawing)}</svg>")
    kind = ' class="white"' if drawing.on_white else ""
    return f'<figure{kind} style="width: {width}px">{svg}</figure>'


def _readings(drawing: Drawing) -> str:
    """Return a strip of the plot for each reading, as wide as the places nearest to it."""
    axis = drawing.figure.axes[0]
    width, height = POINTS * drawing.figure.get_size_inches()
    box = axis.get_position()
    left, right = box.x0 * width, box.x1 * width
    top, bottom = (1 - box.y1) * height, (1 - box.y0) * height
    to_axis = axis.transData - axis.transAxes
    places = [left + (right - left) * to_axis.transform((r.x, 0))[0] for r in drawing.readings]
    edges = [left, *((a + b) / 2 for a, b in itertools.pairwise(places)), right]
    strips = []
    for reading, place, start, end in zip(drawing.readings, places, edges, edges[1:], strict=False):
        wide = LETTER * max(map(len, reading.lines)) + 2 * GAP
        x = place - wide - GAP if place > (left + right) / 2 else place + GAP
        x = max(0, min(x, width - wide))  # inside the figure, if it fits
        lines = "".join(
            f'<tspan x="{x + GAP:.1f}" dy="{LINE}">{html.escape(line)}</tspan>'
            for line in reading.lines
        )
        strips.append(
            f'<g class="reading"><rect x="{start:.1f}" y="{top:.1f}" width="{end - start:.1f}" '
            f'height="{bottom - top:.1f}"/><g><path d="M{place:.1f} {top:.1f}V{bottom:.1f}"/>'
            f'<rect x="{x:.1f}" y="{top + GAP:.1f}" width="{wide:.1f}" '
            f'height="{LINE * len(reading.lines) + GAP}"/>'
            f'<text y="{top + GAP:.1f}">{lines}</text></g></g>'
        )
    return "".join(strips)
