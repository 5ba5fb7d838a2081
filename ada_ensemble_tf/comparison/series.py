"""AUC and LogLoss over the number of layers or of experts: AdaEnsemble's figure 5 (arXiv 2301.08353)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.comparison.arrays import load_array
from ada_ensemble_tf.comparison.runs import PROBABILITIES, Run
from ada_ensemble_tf.evaluation.intervals import Interval, auc_interval, bootstrap_intervals
from ada_ensemble_tf.reporting.figures import COLORS, barely_grid, few_ticks, new_figure, title
from ada_ensemble_tf.trained.run_files import flat

VARIED = {"model.num_layers": "depth (layers)", "model.k": "K (experts kept per row)"}
"""The keys over which curves are drawn, with the axis' name."""
_FOLLOWS = {"model.num_layers": ("model.depth_prior",), "model.k": ()}
"""Keys that follow a varied one."""


class Series(NamedTuple):
    """Finished runs that differ in one key and in the seed."""

    key: str
    model: str
    runs: dict[int, list[Run]]
    """By rising value of the key."""


def find_series(runs: Sequence[Run]) -> list[Series]:
    """The series among the runs of a comparison, each of two values or more."""
    found = []
    for key in VARIED:
        groups: dict[str, dict[int, list[Run]]] = {}
        for run in runs:
            values = flat(run.config)
            if run.done() and isinstance(values.get(key), int):
                apart = ("seed", key, *_FOLLOWS[key])
                rest = repr(sorted((name, repr(value)) for name, value in values.items() if name not in apart))
                groups.setdefault(rest, {}).setdefault(values[key], []).append(run)
        found += [
            Series(key, next(iter(group.values()))[0].config["model"]["name"], dict(sorted(group.items())))
            for group in groups.values()
            if len(group) > 1
        ]
    return found


def series_figure(series: Sequence[tuple[Series, Path]]) -> Figure:
    """A row of two panels for each series: AUC and LogLoss on the test rows.

    Points are means over seeds, bars one standard deviation of the seeds to each side. A point with a single seed has
    its 95 % interval over the choice of rows instead.

    Args:
        series: each with its comparison's file of test labels.
    """
    figure, panels = new_figure(height=0.4 + 2.5 * len(series), columns=2, rows=len(series))
    for row, (one, labels_file) in enumerate(series):
        labels = load_array(labels_file)
        ends = {value: _ends(runs, labels) for value, runs in one.runs.items()}
        for metric, name in enumerate(("AUC", "LogLoss")):
            axes, place = panels[2 * row + metric], np.array(list(ends))
            middle, low, high = np.array([value[metric] for value in ends.values()]).T
            bars = [np.maximum(middle - low, 0.0), np.maximum(high - middle, 0.0)]
            axes.errorbar(place, middle, bars, marker="o", color=COLORS[metric], elinewidth=1.0, capsize=3)
            axes.set_xticks(place)
            axes.set(xlabel=VARIED[one.key])
            # AUCs close to each other would be written as offsets from their common part.
            few_ticks(axes, "y")
            barely_grid(axes)
            title(axes, f"{one.model}: {name}")
    return figure


def _ends(runs: Sequence[Run], labels: np.ndarray) -> tuple[Interval, Interval]:
    """(AUC, LogLoss) of runs that differ in the seed: the mean, and the ends of its bar."""
    if len(runs) == 1:
        probabilities = load_array(runs[0].folder / PROBABILITIES, len(labels))
        return auc_interval(labels, probabilities), bootstrap_intervals(labels, probabilities)["logloss"]
    tests = [run.metrics()["test"] for run in runs]
    auc, logloss = ([float(test[name]) for test in tests] for name in ("auc", "logloss"))
    return _spread(auc), _spread(logloss)


def _spread(values: Sequence[float]) -> Interval:
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return Interval(mean, mean - deviation, mean + deviation)
