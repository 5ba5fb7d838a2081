"""What the work gains: AUC against FLOPs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ada_ensemble_tf.evaluation.intervals import Interval
from ada_ensemble_tf.reporting.figures import COLORS, GREY, barely_grid, count_ticks, few_ticks, new_figure

CROWD = 8
"""With more models, intervals are drawn faintly."""


class Cost(NamedTuple):
    """A model, or a model cut off at one exit. `flops` are per row."""

    label: str
    flops: float
    auc: Interval
    marked: bool = False


def cost_figure(costs: Sequence[Cost]) -> Figure:
    """AUC with intervals over FLOPs per example; `marked` ones stand out."""
    figure, (axes,) = new_figure(height=3.8 if len(costs) <= CROWD else 5.0)
    for cost in costs:
        low, high = (0.0 if np.isnan(end) else abs(end - cost.auc.value) for end in cost.auc[1:])
        paint = COLORS[5] if cost.marked else COLORS[0]
        _, _, (bar,) = axes.errorbar(
            cost.flops, cost.auc.value, [[low], [high]], marker="o", color=paint, elinewidth=0.8
        )
        bar.set_alpha(1.0 if len(costs) <= CROWD else 0.25)
    flops = np.array([max(cost.flops, 1.0) for cost in costs])
    logarithmic = bool(flops.max() / flops.min() > 20.0)
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    count_ticks(axes, "x", most=8, logarithmic=logarithmic)
    few_ticks(axes, "y")
    axes.set(xlabel="FLOPs an example", ylabel="AUC, 95 % interval")
    barely_grid(axes)
    _label(figure, axes, costs)
    return figure


def _label(figure: Figure, axes: Axes, costs: Sequence[Cost]) -> None:
    """Puts labels beside their points so that, where possible, they cover neither a point nor another label."""
    figure.draw_without_rendering()
    # In points, 72 per inch.
    places = axes.transData.transform([(cost.flops, cost.auc.value) for cost in costs]) * 72.0 / figure.dpi
    taken = [_box(x, y, 6.0, 6.0, 0.5) for x, y in places]
    for (x, y), cost in zip(places, costs, strict=True):
        width = 4.3 * len(cost.label)
        ways = [(side * 6.0, step * 9.0) for step in (0, 1, -1, 2, -2, 3, -3, 4, -4) for side in (1, -1)]
        boxes = [_box(x + dx, y + dy, width, 8.0, 0.0 if dx > 0 else 1.0) for dx, dy in ways]
        free = [i for i, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)]
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        dx, dy = ways[chosen]
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5} if abs(dy) > 9.0 else None
        axes.annotate(
            cost.label, (cost.flops, cost.auc.value), (dx, dy), textcoords="offset points", fontsize=7.5,
            ha="left" if dx > 0 else "right", va="center", arrowprops=line,
        )  # fmt: skip


def _box(x: float, y: float, width: float, height: float, before: float) -> tuple[float, float, float, float]:
    left = x - before * width
    return left, left + width, y - height / 2.0, y + height / 2.0


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
