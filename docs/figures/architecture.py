"""Draws architecture.svg: python docs/figures/architecture.py"""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

EXPERTS = ("dense", "cross", "polynomial", "convolution", "attention")
KEPT = ({0, 2}, {1, 2})
"""Which experts each of the two drawn layers keeps for the drawn row."""
INK, PALE, BLUE, ORANGE = "#333333", "#cccccc", "#2f6db3", "#d9822b"


def box(axes: Axes, x: float, y: float, width: float, text: str, colour: str, *, strong: bool = True) -> None:
    """A box with its lower left corner at (x, y)."""
    shape = FancyBboxPatch(
        (x, y), width, 0.6, boxstyle="round,pad=0.02,rounding_size=0.1", linewidth=1.6 if strong else 0.9,
        edgecolor=colour, facecolor="white",
    )  # fmt: skip
    axes.add_patch(shape)
    axes.text(x + width / 2, y + 0.3, text, ha="center", va="center", color=colour if strong else "#999999")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, **style) -> None:
    """An arrow."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, **style})


def layer(axes: Axes, y: float, number: int, kept: set[int]) -> None:
    """A layer whose gate keeps some experts for the drawn row."""
    box(axes, 0.2, y + 0.1, 1.7, f"gate {number}", ORANGE)
    for i, name in enumerate(EXPERTS):
        x = 2.6 + 1.75 * i
        box(axes, x, y + 0.1, 1.5, name, BLUE if i in kept else PALE, strong=i in kept)
        if i in kept:
            arrow(axes, (x + 0.75, y - 0.45), (x + 0.75, y + 0.05), BLUE)
            arrow(axes, (x + 0.75, y + 0.75), (6.85, y + 1.35), BLUE)
    axes.plot([2.6, 11.1], [y - 0.45, y - 0.45], color=INK, linewidth=1.2)
    axes.text(1.05, y - 0.2, "keeps K of E experts", ha="center", va="center", fontsize=8.5, color=ORANGE)
    box(axes, 5.6, y + 1.35, 2.5, "x + weighted sum", INK)


def figure() -> Figure:
    """The picture."""
    drawing = Figure(figsize=(9.6, 6.6))
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 14.4)
    axes.set_ylim(0, 9.3)
    axes.axis("off")
    box(axes, 4.3, 0.1, 5.1, "one row's raw columns: I1 .. C26", INK)
    arrow(axes, (6.85, 0.75), (6.85, 1.15))
    box(axes, 4.3, 1.2, 5.1, "embeddings x0, normalised", INK)
    arrow(axes, (6.85, 1.85), (6.85, 2.4))
    layer(axes, 2.85, 1, KEPT[0])
    arrow(axes, (6.85, 4.85), (6.85, 5.45))
    layer(axes, 5.9, 2, KEPT[1])
    for number, y in ((1, 4.2), (2, 7.25)):
        box(axes, 11.9, y, 1.9, f"exit {number}: ctr", INK if number == 2 else PALE, strong=number == 2)
        arrow(axes, (8.15, y + 0.3), (11.8, y + 0.3), INK if number == 2 else PALE)
    box(axes, 11.9, 1.2, 1.9, "depth gate", ORANGE)
    arrow(axes, (9.45, 1.5), (11.8, 1.5), ORANGE)
    axes.text(12.85, 2.1, "picks the row's exit", ha="center", va="center", fontsize=8.5, color=ORANGE)
    axes.plot([14.1, 14.1], [1.5, 7.55], color=ORANGE, linewidth=1.2)
    axes.plot([13.85, 14.1], [1.5, 1.5], color=ORANGE, linewidth=1.2)
    arrow(axes, (14.1, 7.55), (13.85, 7.55), ORANGE)
    axes.plot([1.05, 1.05, 4.25], [2.4, 1.5, 1.5], color=ORANGE, linewidth=1.2)
    axes.text(
        6.85, 8.55, "…  up to L layers; rows that have left cost nothing more", ha="center", va="center", color=INK
    )
    return drawing


if __name__ == "__main__":
    # The same bytes each time; text stays text.
    with rc_context({"svg.hashsalt": "ada_ensemble", "svg.fonttype": "none", "font.size": 10.5}):
        figure().savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})
