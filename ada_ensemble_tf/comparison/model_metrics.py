"""AUC, LogLoss and calibration of several models, seed by seed, with intervals over the choice of test rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.evaluation.intervals import Interval, auc_interval, bootstrap_intervals
from ada_ensemble_tf.reporting.figures import COLORS, GREY, barely_grid, few_ticks, new_figure, title
from ada_ensemble_tf.reporting.reliability import ReliabilityBins, reliability_bins

METRICS = {"auc": "AUC", "logloss": "LogLoss", "calibration": "Calibration"}


class RunFigures(NamedTuple):
    """A run on the test rows."""

    auc: Interval
    logloss: Interval
    calibration: Interval
    reliability: ReliabilityBins


def run_figures(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None) -> RunFigures:
    """The figures of one run; reliability counts every row once.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        weights: `[N]`, or None.
    """
    found = bootstrap_intervals(labels, probabilities, weights=weights)
    bins = reliability_bins(labels, probabilities)
    return RunFigures(auc_interval(labels, probabilities, weights), found["logloss"], found["calibration"], bins)


def mean_interval(seeds: Sequence[Interval]) -> Interval:
    """The mean with the mean of the seeds' intervals: seeds share the rows, so more of them do not narrow it."""
    return Interval(*(float(np.mean([one[i] for one in seeds])) for i in range(3)))


def model_metrics_figure(figures: Mapping[str, Mapping[str, Sequence[Interval]]]) -> Figure:
    """A panel for each metric, with a line for each model: the mean with its interval, and a small ring for each seed.

    Args:
        figures: by what the panel shows: each seed's interval, by label. The first panel's labels are those of all, in
            their order from the top.
    """
    order = list(next(iter(figures.values())))
    figure, panels = new_figure(height=0.9 + 0.26 * len(order), columns=len(figures))
    for axes, (name, seeds) in zip(panels, figures.items(), strict=True):
        for place, label in enumerate(order):
            mean = mean_interval(seeds[label])
            ends = [[max(mean.value - mean.low, 0.0)], [max(mean.high - mean.value, 0.0)]]
            axes.errorbar(mean.value, place, xerr=ends, marker="o", color=COLORS[0], elinewidth=1.2, capsize=2)
            if len(seeds[label]) > 1:
                values = [one.value for one in seeds[label]]
                axes.plot(values, [place] * len(values), "o", markerfacecolor="none", color=GREY, markersize=4)
        if name == METRICS["calibration"]:
            axes.axvline(1.0, color=GREY, linewidth=1, linestyle="--")
        title(axes, name)
        axes.set_yticks(range(len(order)), order if axes is panels[0] else [])
        axes.set(ylim=(len(order) - 0.5, -0.5))
        axes.tick_params(axis="y", length=0)
        few_ticks(axes, "x", most=4 if len(figures) > 1 else 8)
        barely_grid(axes, "x")
    return figure
