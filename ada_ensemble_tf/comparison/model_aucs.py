"""AUCs of several models, seed by seed, with intervals over the choice of test rows."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.evaluation.intervals import Interval
from ada_ensemble_tf.reporting.figures import COLORS, GREY, barely_grid, new_figure


def mean_interval(seeds: list[Interval]) -> Interval:
    """Mean AUC with the mean of the seeds' intervals: seeds share the rows, so more of them do not narrow it."""
    return Interval(*(float(np.mean([one[i] for one in seeds])) for i in range(3)))


def model_auc_figure(seeds: Mapping[str, list[Interval]]) -> Figure:
    """One line per model, by decreasing mean AUC: the mean with its interval, and a small ring for each seed.

    Args:
        seeds: each seed's AUC with its interval, by label.
    """
    order = sorted(seeds, key=lambda label: -mean_interval(seeds[label]).value)
    figure, (axes,) = new_figure(width=7.0, height=0.9 + 0.26 * len(order))
    for place, label in enumerate(order):
        mean = mean_interval(seeds[label])
        ends = [[max(mean.value - mean.low, 0.0)], [max(mean.high - mean.value, 0.0)]]
        axes.errorbar(mean.value, place, xerr=ends, marker="o", color=COLORS[0], elinewidth=1.2, capsize=2)
        if len(seeds[label]) > 1:
            values = [one.value for one in seeds[label]]
            axes.plot(values, [place] * len(values), "o", markerfacecolor="none", color=GREY, markersize=4)
    axes.set_yticks(range(len(order)), order)
    axes.set(ylim=(len(order) - 0.5, -0.5), xlabel="AUC")
    axes.tick_params(axis="y", length=0)
    barely_grid(axes, "x")
    return figure
