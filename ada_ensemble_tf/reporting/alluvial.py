"""Which experts rows choose, layer by layer, and where they exit: AdaEnsemble's figure 4 (arXiv 2301.08353)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from ada_ensemble_tf.reporting.figures import GREY, color, new_figure

DEPTH = "depth"
"""The depth gate's place among the gates; all others are layers, from the first on."""
GAP = 0.02
"""Between the blocks of a layer, as a share of all rows."""
BLOCK = 0.07
"""Width of a block; layers are 1 apart."""
SMALLEST_LABEL = 0.025
"""A block with a smaller share of the rows is too low for its label."""


def exit_depths(gates: Mapping[str, np.ndarray]) -> np.ndarray:
    """The exit `[N]` of each row, from 1: its largest depth gate, or the last layer where there is no depth gate."""
    if DEPTH in gates:
        return gates[DEPTH].argmax(axis=1) + 1
    first = next(iter(gates.values()))
    return np.full(len(first), len(gates))


def choice_paths(gates: Mapping[str, np.ndarray]) -> np.ndarray:
    """`[N, L]`: the choice with the largest gate in each layer, -1 in layers after the row's exit."""
    layers = [values for place, values in gates.items() if place != DEPTH]
    if not layers:
        raise ValueError(f"needs the gates of one or more layers; received those of {list(gates) or 'nothing'}")
    paths = np.stack([values.argmax(axis=1) for values in layers], axis=1)
    return np.where(np.arange(len(layers)) < exit_depths(gates)[:, None], paths, -1)


def alluvial_figure(gates: Mapping[str, np.ndarray], choices: Mapping[str, Sequence[str]]) -> Figure:
    """Draws the paths of rows through the layers.

    Each layer is a column with one block per choice, as high as the share of rows whose largest gate is that choice.
    Ribbons between columns are the rows that go from one to the other. With a depth gate, the column after a layer
    begins with the rows that exit there.

    Args:
        gates: the gates of all rows, `[N, E]`, by place and in the order of layers, as `AdaEnsemble.gates` returns
            them; if there is a depth gate, also `[N, L]` at "depth".
        choices: names of the choices, by the same places, as `AdaEnsemble.choice_names` returns them.

    Raises:
        ValueError: if there is no layer, or there are no rows.
    """
    paths = choice_paths(gates)
    if not len(paths):
        raise ValueError("needs the gates of one or more rows; received none")
    places = [place for place in gates if place != DEPTH]
    columns = [np.where(paths[:, i] < 0, np.iinfo(np.int64).max, paths[:, i]) for i in range(len(places))]
    figure, (axes,) = new_figure(height=4.2)
    names = [list(choices[place]) for place in places]
    exits = exit_depths(gates)
    blocks = []
    for i, column in enumerate(columns):
        exited = float(np.mean(exits == i)) if i else 0.0
        shares = [float(np.mean(column == j)) for j in range(len(names[i]))]
        blocks.append(_draw_column(axes, i, shares, names[i], exited, i))
    if DEPTH in gates:
        blocks.append(_draw_column(axes, len(places), [], [], float(np.mean(exits == len(places))), len(places)))
    for i in range(len(blocks) - 1):
        to = columns[i + 1] if i + 1 < len(places) else np.full(len(paths), -1)
        _draw_ribbons(axes, i, columns[i], np.where(exits == i + 1, -1, to), blocks[i], blocks[i + 1], len(names[i]))
    axes.set_xlim(-0.05, len(blocks) - 1 + 0.55)
    axes.set_ylim(1.0 + GAP * (1 + max(map(len, names))), -0.02)
    axes.set_xticks([i + BLOCK / 2 for i in range(len(blocks))], [*places, "exit"][: len(blocks)])
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _draw_column(
    axes: Axes, x: int, shares: Sequence[float], names: Sequence[str], exited: float, exit_number: int
) -> dict:
    """Draws a column's blocks from the top; returns the top of each by choice, and that of the exited rows by -1."""
    tops, y = {}, 0.0
    blocks = [(j, share, names[j], color(j)) for j, share in enumerate(shares)]
    if exited:
        blocks.append((-1, exited, f"exit_{exit_number}", GREY))
    for j, share, name, paint in blocks:
        tops[j] = y
        axes.add_patch(Rectangle((x, y), BLOCK, share, facecolor=paint, edgecolor="none"))
        if share >= SMALLEST_LABEL:
            axes.text(x + BLOCK + 0.03, y + share / 2, f"{name} {share:.0%}", va="center", fontsize=8)
        y += share + GAP
    return tops


def _draw_ribbons(axes: Axes, x: int, start: np.ndarray, end: np.ndarray, starts: dict, ends: dict, count: int) -> None:
    left, right = dict(starts), dict(ends)
    ended = sorted(ends, key=lambda j: (j < 0, j))
    for j in range(count):
        for k in ended:
            share = float(np.mean((start == j) & (end == k)))
            if share:
                axes.add_patch(PathPatch(_ribbon(x + BLOCK, x + 1, left[j], right[k], share), **_paint(j)))
                left[j] += share
                right[k] += share


def _paint(choice: int) -> dict:
    return {"facecolor": color(choice), "alpha": 0.32, "edgecolor": "none"}


def _ribbon(x0: float, x1: float, y0: float, y1: float, height: float) -> Path:
    middle = (x0 + x1) / 2
    corners = [(x0, y0), (middle, y0), (middle, y1), (x1, y1), (x1, y1 + height)]
    corners += [(middle, y1 + height), (middle, y0 + height), (x0, y0 + height), (x0, y0)]
    curve = [Path.CURVE4] * 3
    return Path(corners, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
