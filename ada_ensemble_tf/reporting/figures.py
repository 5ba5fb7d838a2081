"""What all figures share: size, colours, and their form as SVG or PNG. No figure needs a display or pyplot."""

import io
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.typing import RcKeyType

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#6a51a3")
"""Colours that colour-blind readers can tell apart (Okabe and Ito), in this order; further choices start over."""
GREY = "#8a8f98"
WIDTH = 9.6
"""Width in inches of a figure across the page; no figure is narrower."""
TICKS = 6
"""The most ticks of an axis across half a page, so that their labels keep apart."""

# After fonts have moved, Matplotlib's list of them is out of date, and it warns of each that it misses.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

_STYLE: dict[RcKeyType, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
}


def color(place: int) -> str:
    """The colour of a choice, by its index."""
    return COLORS[place % len(COLORS)]


def colors_of(lists: Iterable[Sequence[str]]) -> dict[str, str]:
    """A colour for each name in lists of choices, the same in all of them.

    Example:
        >>> colors_of([["dense", "cross"], ["cross", "cin"]]) == {"dense": color(0), "cross": color(1), "cin": color(2)}
        True
    """
    names = dict.fromkeys(name for names in lists for name in names)
    return {name: color(i) for i, name in enumerate(names)}


def new_figure(width: float = WIDTH, height: float = 3.2, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure of `rows` x `columns` panels, and the panels row by row; sizes in inches."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
    return figure, list(panels.flat)


def title(axes: Axes, text: str) -> None:
    """Writes what a panel shows above its left end."""
    axes.set_title(text, loc="left", fontsize=10.0, fontweight="bold")


def few_ticks(axes: Axes, axis: Literal["x", "y"], most: int = TICKS) -> None:
    """Keeps the labels of a linear axis apart: no more than `most`, and none as an offset from a common part."""
    one = axes.xaxis if axis == "x" else axes.yaxis
    one.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axes.ticklabel_format(axis=axis, useOffset=False, style="plain")


def count_ticks(axes: Axes, axis: Literal["x", "y"], most: int = TICKS, logarithmic: bool = False) -> None:
    """Writes the numbers of an axis short, 1k for 1,000, and keeps them apart."""
    one = axes.xaxis if axis == "x" else axes.yaxis
    if logarithmic:
        # One decade or less has ticks within it, and several have one each.
        low, high = sorted(axes.get_xlim() if axis == "x" else axes.get_ylim())
        within = (1.0, 2.0, 5.0) if high < 100.0 * max(low, 1e-300) else (1.0,)
        one.set_major_locator(LogLocator(subs=within, numticks=most))
        one.set_minor_formatter(NullFormatter())
    else:
        one.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    one.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number in few characters.

    Example:
        >>> [short(value) for value in (0, 0.25, 950, 1000, 12_500, 3e6, 2.5e9)]
        ['0', '0.25', '950', '1k', '12.5k', '3M', '2.5G']
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def barely_grid(axes: Axes, axis: Literal["x", "y"] = "y") -> None:
    """Adds thin grid lines behind the drawing."""
    axes.grid(axis=axis, color="#e4e6ea", linewidth=0.8)
    axes.set_axisbelow(True)


def png(figure: Figure, dots_per_inch: int = 110) -> bytes:
    """The figure as a PNG image."""
    file = io.BytesIO()
    with rc_context(_STYLE):
        figure.savefig(file, format="png", dpi=dots_per_inch, facecolor="white")
    return file.getvalue()


def svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element to put into HTML: its text stays text, and its bytes are the same each time.

    Args:
        figure: what to draw.
        name: unique on the page; it begins all ids, so that those of different figures do not clash.
        description: what readers are told who cannot see the figure.
    """
    file = io.StringIO()
    # Without a salt, ids are random. Text drawn as outlines could be neither searched nor read aloud.
    with rc_context(_STYLE | {"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    label = _escape(description)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).replace(
        ">", f">\n<title>{label}</title>", 1
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
