"""How a model ranks rows: ROC and precision-recall curves."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.reporting.figures import GREY, barely_grid, color, few_ticks, new_figure, title

POINTS = 300
"""Points of a drawn curve: more than its pixels have corners, and few enough for a small page."""


class Ranking(NamedTuple):
    """Shares at each distinct prediction as threshold, from the highest on; each array is `[points]`."""

    false_positives: np.ndarray
    """Share of the negatives at or above the threshold."""
    recall: np.ndarray
    """Share of the positives at or above it."""
    precision: np.ndarray
    """Share of positives among the rows at or above it."""


def ranking(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> Ranking:
    """The shares of all thresholds, from none of the rows (precision 1) to all.

    Args:
        labels: `[N]` in {0, 1}, of both labels.
        probabilities: `[N]`.
        weights: `[N]`; shares are of weight. None counts every row once.
    """
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    y = np.asarray(labels, np.float64)[order] > 0.5
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)[order]
    # Rows of equal prediction are above a threshold together.
    last = np.append(np.diff(np.asarray(probabilities)[order]) != 0.0, True)
    positives, negatives = np.cumsum(w * y)[last], np.cumsum(w * ~y)[last]
    rows = np.maximum(positives + negatives, np.finfo(float).tiny)
    shares = (negatives / negatives[-1], positives / positives[-1], positives / rows)
    return Ranking(*(np.append(first, share) for first, share in zip((0.0, 0.0, 1.0), shares, strict=True)))


def average_precision(found: Ranking) -> float:
    """Precision averaged over recall, without interpolation."""
    return float(np.sum(np.diff(found.recall) * found.precision[1:]))


def thinned(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A curve with at most `points` points, about equally far from each other along it, ends included."""
    if len(x) <= points:
        return x, y
    way = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    places = np.unique(np.searchsorted(way, np.linspace(0.0, way[-1], points)))
    places[-1] = len(x) - 1
    return x[places], y[places]


def ranking_figure(labels: np.ndarray, models: Mapping[str, np.ndarray], weights: np.ndarray | None = None) -> Figure:
    """ROC curves, and beside them precision over recall.

    Args:
        labels: `[N]` in {0, 1}, of both labels.
        models: predictions `[N]` by name, the first drawn boldly.
        weights: `[N]`, or None.
    """
    figure, (roc, pr) = new_figure(height=3.9, columns=2)
    rate = metrics.mean(np.asarray(labels, np.float64), weights)
    for i, (name, probabilities) in enumerate(models.items()):
        found = ranking(labels, probabilities, weights)
        look: dict[str, Any] = {"color": color(i), "linewidth": 1.2 if i else 1.8, "linestyle": "--" if i else "-"}
        auc = metrics.auc(labels, probabilities, weights)
        roc.plot(*thinned(found.false_positives, found.recall), label=f"{name}: AUC {auc:.4f}", **look)
        average = average_precision(found)
        # The point at no rows has no precision of its own.
        drawn = thinned(found.recall[1:], found.precision[1:])
        pr.plot(*drawn, label=f"{name}: average {average:.4f}", **look)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance: AUC 0.5")
    pr.axhline(rate, color=GREY, linewidth=1, linestyle=":", label=f"chance: {rate:.4f}, the base rate")
    title(roc, "ROC")
    title(pr, "Precision and recall")
    roc.set(xlabel="share of negatives above the threshold", ylabel="share of positives above it")
    pr.set(xlabel="recall: share of positives above the threshold", ylabel="precision")
    roc.legend(loc="lower right", frameon=False, fontsize=8)
    pr.legend(loc="best", frameon=False, fontsize=8)
    for axes in (roc, pr):
        axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.02))
        few_ticks(axes, "x")
        barely_grid(axes)
    return figure
