"""Charts of several runs over training: learning curves and time; and a reliability diagram for each model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.reporting.figures import (
    COLORS,
    GREY,
    barely_grid,
    color,
    count_ticks,
    few_ticks,
    new_figure,
    title,
)
from ada_ensemble_tf.reporting.learning_curves import Curve, read_curves
from ada_ensemble_tf.reporting.reliability import ReliabilityBins
from ada_ensemble_tf.reporting.sessions import read_sessions, seconds

ACROSS = 4
"""Reliability diagrams side by side."""
_SHOWN = {"metrics/logloss": "Validation LogLoss", "metrics/auc": "Validation AUC"}


def validation_curves(folder: Path) -> dict[str, Curve]:
    """A run's validation LogLoss and AUC over steps; {} where it left none."""
    curves = read_curves(folder / "tensorboard" / "validation")
    return {tag: curves[tag] for tag in _SHOWN if tag in curves}


def training_seconds(folder: Path) -> float | None:
    """How long a run trained, evaluations included; None where it is not known."""
    return seconds(found) if (found := read_sessions(folder / "tensorboard" / "training")) else None


def learning_curves_figure(curves: Mapping[str, Sequence[Mapping[str, Curve]]]) -> Figure:
    """Validation LogLoss and AUC over weight updates, a line for each seed; models beyond the colours are grey.

    Args:
        curves: for each label, in the order of the legend, what `validation_curves` gives of each seed.
    """
    figure, panels = new_figure(height=3.8 + 0.15 * ((min(len(curves), len(COLORS)) - 1) // 4), columns=2)
    handles = {}
    for axes, (tag, text) in zip(panels, _SHOWN.items(), strict=True):
        # The first labels last, so that they lie on top.
        for place, label in reversed(list(enumerate(curves))):
            named = place < len(COLORS)
            for seed in curves[label]:
                if tag in seed:
                    (line,) = axes.plot(
                        seed[tag].steps, seed[tag].values, linewidth=1.3 if named else 0.8, marker="o", markersize=2.0,
                        color=color(place) if named else GREY, alpha=0.9 if named else 0.4,
                    )  # fmt: skip
                    handles[label if named else "others"] = line
        title(axes, text)
        axes.set_xlabel("weight updates")
        count_ticks(axes, "x")
        few_ticks(axes, "y")
        barely_grid(axes)
    names = [label for label in (*curves, "others") if label in handles]
    if names:
        figure.legend(
            [handles[label] for label in names], names, loc="outside lower center", ncols=4, frameon=False, fontsize=8
        )
    return figure


def time_figure(minutes: Mapping[str, Sequence[float]], speeds: Mapping[str, Sequence[float]]) -> Figure:
    """Training time and speed, a bar for each model: the mean, and a ring for each seed.

    Args:
        minutes: of each seed, by label, in the order from the top.
        speeds: training rows a second, by the same labels.
    """
    order = list(minutes)
    figure, (times, rates) = new_figure(height=0.9 + 0.26 * len(order), columns=2)
    for axes, values, text, paint in (
        (times, minutes, "Training time, minutes", COLORS[0]),
        (rates, speeds, "Training rows a second", COLORS[4]),
    ):
        for place, label in enumerate(order):
            if found := list(values.get(label, ())):
                axes.barh(place, np.mean(found), color=paint, height=0.65)
                if len(found) > 1:
                    axes.plot(found, [place] * len(found), "o", markerfacecolor="none", color="#1d2330", markersize=4)
        title(axes, text)
        axes.set_yticks(range(len(order)), order if axes is times else [])
        axes.set(ylim=(len(order) - 0.5, -0.5), xlim=(0.0, None))
        axes.tick_params(axis="y", length=0)
        count_ticks(axes, "x")
        barely_grid(axes, "x")
    return figure


def reliability_grid(bins: Mapping[str, Sequence[ReliabilityBins]]) -> Figure:
    """A reliability diagram for each model, all of the same range, a line for each seed.

    Args:
        bins: of each seed, by label.
    """
    rows = -(-len(bins) // ACROSS)
    figure, panels = new_figure(height=0.3 + 2.25 * rows, columns=ACROSS, rows=rows)
    right = 1.05 * max(max(one.predicted.max(), one.observed.max()) for seeds in bins.values() for one in seeds)
    for axes, (label, seeds) in zip(panels, bins.items(), strict=False):
        axes.plot([0, right], [0, right], color=GREY, linewidth=1, linestyle="--")
        for one in seeds:
            axes.plot(one.predicted, one.observed, color=COLORS[0], marker="o", markersize=2.5, linewidth=1, alpha=0.8)
        axes.set(xlim=(0, right), ylim=(0, right))
        axes.set_title(label, loc="left", fontsize=9.0)
        few_ticks(axes, "x", most=4)
        few_ticks(axes, "y", most=4)
        barely_grid(axes)
    for axes in panels[len(bins) :]:
        axes.set_visible(False)
    figure.supxlabel("mean prediction of a group of rows", fontsize=9)
    figure.supylabel("observed rate", fontsize=9)
    return figure
