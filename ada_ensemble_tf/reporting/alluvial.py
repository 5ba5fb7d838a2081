"""Which experts rows keep, layer by layer, and where they exit: AdaEnsemble's figure 4 (arXiv 2301.08353)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path

from ada_ensemble_tf.reporting.combinations import (
    DEPTH,
    EXITED,
    abbreviations,
    combination_paths,
    exit_depths,
    experts_in,
    frequency_clusters,
)
from ada_ensemble_tf.reporting.figures import GREY, new_figure

GAP = 0.02
"""Between the blocks of a layer, as a share of all rows."""
BLOCK = 0.05
"""Width of a block; layers are 1 apart."""
SMALLEST_LABEL = 0.025
"""A block with a smaller share of the rows is too low for its label."""
MOST_BLOCKS = 8
"""Combinations of a layer that have blocks of their own; the rarer ones share one."""
OTHERS = -2
"""In place of the rarer combinations."""
INK = "#3c4450"
CLUSTER_COLORS = ("#c2410c", "#e69f00", "#2f8fc4", "#a9b6c4")
"""From the most frequent paths to the rarest."""


class _Path(NamedTuple):
    """Rows that keep the same combinations in all layers and leave at the same exit."""

    places: tuple[int, ...]
    """A block in each column, by combination."""
    share: float
    cluster: int


def alluvial_figure(gates: Mapping[str, np.ndarray], choices: Mapping[str, Sequence[str]]) -> Figure:
    """Draws the paths of rows through the layers.

    Each layer is a column with a block for each combination of experts that rows keep together, as high as their share
    of the rows. Ribbons between columns are the rows that go from one to the other. Their colour tells how frequent the
    whole path is, from the first layer to the exit: paths are clustered by their shares. With a depth gate, the column
    after a layer also has the rows that exit there.

    Args:
        gates: the gates of all rows, `[N, E]`, by place and in the order of layers, as `AdaEnsemble.gates` returns
            them; if there is a depth gate, also `[N, L]` at "depth".
        choices: names of the choices, by the same places, as `AdaEnsemble.choice_names` returns them.

    Raises:
        ValueError: if there is no layer, or there are no rows.
    """
    combinations = combination_paths(gates)
    places = [place for place in gates if place != DEPTH]
    orders = [_order(combinations[:, i]) for i in range(len(places))]
    paths = _paths(combinations, orders, exit_depths(gates) if DEPTH in gates else None)
    figure, (axes,) = new_figure(height=5.0)
    names = [list(choices[place]) for place in places] + [[]] * (DEPTH in gates)
    alone = all(len(experts_in(one, names[i])) == 1 for i, order in enumerate(orders) for one in order if one >= 0)
    tops = []
    for i, known in enumerate(names):
        short = known if alone else abbreviations(known)
        order = [*(orders[i] if i < len(orders) else []), EXITED]
        labels = [_label(one, short, i) for one in order]
        if OTHERS in order:
            rest = set(combinations[:, i].tolist()) - {EXITED, *order}
            labels[order.index(OTHERS)] = f"{len(rest)} others"
        tops.append(_draw_column(axes, i, paths, order, labels))
    for i in range(len(names) - 1):
        _draw_ribbons(axes, i, paths, tops[i], tops[i + 1])
    axes.set_xlim(-0.05, len(names) - 1 + 0.6)
    axes.set_ylim(1.0 + GAP * (1 + max(map(len, orders))), -0.02)
    axes.set_xticks([i + BLOCK / 2 for i in range(len(names))], [*places, "exit"][: len(names)])
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    _legend(axes, paths)
    if not alone:
        every = list(dict.fromkeys(name for known in names for name in known))
        axes.set_xlabel(", ".join(f"{short} {name}" for short, name in zip(abbreviations(every), every, strict=True)))
    return figure


def _order(column: np.ndarray) -> list[int]:
    """The combinations with blocks of their own by falling share; `OTHERS` last, if there are more."""
    values, counts = np.unique(column[column != EXITED], return_counts=True)
    order = values[np.lexsort((values, -counts))].tolist()
    return order if len(order) <= MOST_BLOCKS else [*order[: MOST_BLOCKS - 1], OTHERS]


def _paths(combinations: np.ndarray, orders: list[list[int]], exits: np.ndarray | None) -> list[_Path]:
    """The paths by falling share. With exits, a column follows the last layer, where the last rows exit."""
    columns = [
        np.where(np.isin(column, [*order, EXITED]), column, OTHERS)
        for column, order in zip(combinations.T, orders, strict=True)
    ]
    if exits is not None:
        columns.append(np.full(len(combinations), EXITED))
    found, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    clusters = frequency_clusters(counts)
    return [
        _Path(tuple(found[i].tolist()), float(counts[i]) / len(combinations), int(clusters[i]))
        for i in np.argsort(-counts, kind="stable")
    ]


def _label(combination: int, names: Sequence[str], column: int) -> str:
    if combination == EXITED:
        return f"exit_{column}"
    kept = experts_in(combination, names)
    return "all" if 2 < len(names) == len(kept) else "+".join(kept)


def _draw_column(
    axes: Axes, x: int, paths: Sequence[_Path], order: Sequence[int], labels: Sequence[str]
) -> dict[int, float]:
    """Draws a column's blocks from the top; returns the top of each by combination."""
    tops, y = {}, 0.0
    for one, label in zip(order, labels, strict=True):
        # Rows that exited earlier have no part in this column.
        share = sum(path.share for path in paths if path.places[x] == one and (not x or path.places[x - 1] != EXITED))
        if not share:
            continue
        tops[one] = y
        paint = GREY if one == EXITED else INK
        axes.add_patch(Rectangle((x, y), BLOCK, share, facecolor=paint, edgecolor="none"))
        if share >= SMALLEST_LABEL:
            axes.text(x + BLOCK + 0.03, y + share / 2, f"{label} {share:.0%}", va="center", fontsize=7.5)
        y += share + GAP
    return tops


def _draw_ribbons(
    axes: Axes, x: int, paths: Sequence[_Path], starts: Mapping[int, float], ends: Mapping[int, float]
) -> None:
    left, right = dict(starts), dict(ends)
    clusters = range(1 + max(path.cluster for path in paths))
    for start in (one for one in starts if one != EXITED):
        for end in ends:
            for cluster in clusters:
                share = sum(p.share for p in paths if p.places[x : x + 2] == (start, end) and p.cluster == cluster)
                if share:
                    shape = _ribbon(x + BLOCK, x + 1, left[start], right[end], share)
                    axes.add_patch(PathPatch(shape, facecolor=_color(cluster), alpha=0.55, edgecolor="none"))
                    left[start] += share
                    right[end] += share


def _color(cluster: int) -> str:
    return CLUSTER_COLORS[cluster]


def _legend(axes: Axes, paths: Sequence[_Path]) -> None:
    handles = []
    for cluster in range(1 + max(path.cluster for path in paths)):
        shares = [path.share for path in paths if path.cluster == cluster]
        low, high = _percent(min(shares)), _percent(max(shares))
        each = low if low == high else f"{low} to {high}"
        text = f"{len(shares)} path{'s' * (len(shares) > 1)} of {each}: {_percent(sum(shares))} of rows"
        handles.append(Patch(facecolor=_color(cluster), alpha=0.7, label=text))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=8.0,
        title="colour: how frequent a path through all layers is", alignment="left", title_fontsize=8.0,
    )  # fmt: skip


def _percent(share: float) -> str:
    return "<0.1%" if share < 0.001 else f"{share:.1%}"


def _ribbon(x0: float, x1: float, y0: float, y1: float, height: float) -> Path:
    middle = (x0 + x1) / 2
    corners = [(x0, y0), (middle, y0), (middle, y1), (x1, y1), (x1, y1 + height)]
    corners += [(middle, y1 + height), (middle, y0 + height), (x0, y0 + height), (x0, y0)]
    curve = [Path.CURVE4] * 3
    return Path(corners, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
