"""Calibration: predictions against observed rates."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.evaluation.intervals import wilson
from ada_ensemble_tf.reporting.figures import COLORS, GREY, barely_grid, few_ticks, new_figure, title

BINS = 15
"""Enough to see where a curve bends, and few enough for hundreds of rows per bin at ten thousand rows."""


class ReliabilityBins(NamedTuple):
    """Groups of equally many rows, by increasing prediction; each array is `[bins]`."""

    predicted: np.ndarray
    """Mean prediction."""
    observed: np.ndarray
    """Share of positives."""
    low: np.ndarray
    """Lower end of Wilson's 95 % interval of `observed`."""
    high: np.ndarray
    """Its upper end."""
    rows: np.ndarray


def reliability_bins(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> ReliabilityBins:
    """Groups rows by prediction, as `metrics.expected_calibration_error` does; fewer groups if there are fewer rows.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        bins: groups.

    Raises:
        ValueError: if there are no rows.
    """
    if not len(labels):
        raise ValueError("needs one or more rows; received none")
    groups = np.array_split(np.argsort(probabilities, kind="stable"), min(bins, len(labels)))
    rows = np.array([len(group) for group in groups])
    positives = np.array([np.sum(labels[group], dtype=np.float64) for group in groups])
    predicted = np.array([np.mean(probabilities[group], dtype=np.float64) for group in groups])
    return ReliabilityBins(predicted, positives / rows, *wilson(positives, rows), rows)


def reliability_figure(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Figure:
    """The reliability diagram, and beside it a histogram of the predictions.

    Args:
        labels: `[N]` in {0, 1}.
        probabilities: `[N]`.
        bins: groups of equally many rows.

    Raises:
        ValueError: if there are no rows.
    """
    curve = reliability_bins(labels, probabilities, bins)
    figure, (axes, counts) = new_figure(height=3.6, columns=2)
    right = 1.1 * curve.predicted.max()
    axes.plot([0, right], [0, right], color=GREY, linewidth=1, linestyle="--", label="calibrated")
    errors = np.maximum([curve.observed - curve.low, curve.high - curve.observed], 0.0)
    axes.errorbar(
        curve.predicted, curve.observed, errors, color=COLORS[0], marker="o", markersize=4, elinewidth=1, label="model"
    )
    axes.set(xlim=(0, right), ylim=(0, 1.05 * max(curve.high.max(), right)), ylabel="observed rate, 95 % interval")
    axes.set_xlabel("mean prediction of the group")
    title(axes, "Reliability")
    barely_grid(axes)
    few_ticks(axes, "x")
    axes.legend(loc="upper left", frameon=False)
    title(counts, "Predictions")
    counts.hist(np.clip(probabilities, 0.0, right), bins=40, range=(0.0, right), color=COLORS[4])
    counts.set(
        xlim=(0, right),
        xlabel="prediction; the last bar has all larger ones",
        ylabel="rows",
        yscale="log",
        ylim=(0.8, None),
    )
    # Most of the time to draw it went into small ticks, at each evaluation of a training.
    counts.minorticks_off()
    few_ticks(counts, "x")
    barely_grid(counts)
    return figure
