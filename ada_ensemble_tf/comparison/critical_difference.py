"""Models in the order of their AUC, with bars across those that cannot be told apart."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.reporting.figures import COLORS, GREY, few_ticks, new_figure


def groups(order: Sequence[str], worse: Mapping[tuple[str, str], bool]) -> list[tuple[int, int]]:
    """(first, last) positions of the longest runs of neighbours in which no model is worse than another.

    Args:
        order: labels, best first.
        worse: whether, for (better, worse) in this order, the difference is beyond noise.

    Returns:
        Runs of two or more, none within another.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and not any(worse[order[i], order[last + 1]] for i in range(first, last + 1)):
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def critical_difference_figure(aucs: Mapping[str, float], worse: Mapping[tuple[str, str], bool]) -> Figure:
    """One line per model, best first; a bar spans models of which no two can be told apart.

    Like Demsar's diagram (JMLR 2006), but along AUC on one set of test rows, not along ranks over many data sets.

    Args:
        aucs: mean AUC by label.
        worse: whether, for (better, worse) by AUC, the difference is beyond noise.
    """
    order = sorted(aucs, key=lambda label: -aucs[label])
    bars = groups(order, worse)
    figure, (axes,) = new_figure(height=0.9 + 0.26 * len(order))
    values = np.array([aucs[label] for label in order])
    left, right = values.min(), values.max()
    span = (right - left) or 1e-3
    axes.hlines(range(len(order)), left - 0.02 * span, values, color="#e4e6ea", linewidth=1)
    axes.plot(values, range(len(order)), "o", color=COLORS[0])
    for i, (first, last) in enumerate(bars):
        x = right + span * (0.05 + 0.05 * i)
        axes.vlines(x, first - 0.2, last + 0.2, color=COLORS[i % len(COLORS)], linewidth=4)
    axes.set_yticks(range(len(order)), [f"{label}  {aucs[label]:.5f}" for label in order])
    axes.set(xlim=(left - 0.02 * span, right + span * (0.08 + 0.05 * len(bars))), ylim=(len(order) - 0.5, -0.5))
    few_ticks(axes, "x", most=10)
    axes.set_xticks([tick for tick in axes.get_xticks() if left <= tick <= right])
    axes.set_xlabel("mean AUC on the test rows; bars to the right join models that cannot be told apart", color=GREY)
    axes.tick_params(axis="y", length=0)
    return figure
