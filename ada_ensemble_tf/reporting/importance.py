"""Permutation importance: what a model loses when a field's values are shuffled between rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ada_ensemble_tf.evaluation import metrics
from ada_ensemble_tf.reporting.figures import COLORS, barely_grid, few_ticks, new_figure, title
from data_pipelines.progress import Progress

REPEATS = 3
"""Random orders per field: enough to show the spread; each costs one scoring of all rows."""
SEED = 20230128


class Columns(NamedTuple):
    """The position of a field in a row: `ids` among its ids, `values` among its floats."""

    ids: slice
    values: slice


class Importance(NamedTuple):
    """What one field is worth: losses of AUC and increases of LogLoss, `[repeats]` each."""

    field: str
    auc_loss: np.ndarray
    logloss_rise: np.ndarray


def permutation_importance(
    score: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    labels: np.ndarray,
    ids: np.ndarray,
    values: np.ndarray | None,
    columns: Mapping[str, Columns],
    repeats: int = REPEATS,
    seed: int = SEED,
    show: Callable[[str], None] = lambda line: None,
) -> list[Importance]:
    """Importance of each field, largest mean increase of LogLoss first.

    Breiman 2001; Fisher, Rudin and Dominici, JMLR 2019.

    A field's ids and floats move together. If two fields say the same, each looks unimportant, because the other is
    still there. Shuffled rows may be ones that never occur.

    Args:
        score: the model: a function from ids `[N, C]` and floats `[N, N']` or None to probabilities `[N]`.
        labels: `[N]` in {0, 1}.
        ids: `[N, C]`.
        values: `[N, N']` where fields have floats.
        columns: the columns of each field, by name.
        repeats: random orders per field, the same for all fields.
        seed: the seed of the orders.
        show: called with lines about progress.
    """
    base = score(ids, values)
    auc, logloss = metrics.auc(labels, base), metrics.logloss(labels, base)
    orders = [np.random.default_rng([seed, repeat]).permutation(len(ids)) for repeat in range(repeats)]
    found = []
    with Progress("permutation importance", len(columns), show) as progress:
        for number, (field, where) in enumerate(columns.items(), 1):
            scores = [
                score(_moved(ids, where.ids, order), None if values is None else _moved(values, where.values, order))
                for order in orders
            ]
            losses = np.array([auc - metrics.auc(labels, one) for one in scores])
            found.append(
                Importance(field, losses, np.array([metrics.logloss(labels, one) - logloss for one in scores]))
            )
            progress.update(number * repeats * len(ids), number)
    return sorted(found, key=lambda one: -one.logloss_rise.mean())


def importance_figure(found: Sequence[Importance]) -> Figure:
    """Bars of both losses, one line per field; the thin line is the range over random orders."""
    figure, (aucs, loglosses) = new_figure(height=0.9 + 0.2 * len(found), columns=2)
    places = np.arange(len(found))
    for axes, losses, text, paint in (
        (aucs, [one.auc_loss for one in found], "Loss of AUC", COLORS[0]),
        (loglosses, [one.logloss_rise for one in found], "Rise of LogLoss", COLORS[5]),
    ):
        means = np.array([one.mean() for one in losses])
        spread = [means - [one.min() for one in losses], [one.max() for one in losses] - means]
        axes.barh(places, means, color=paint, height=0.7, xerr=np.maximum(spread, 0.0), error_kw={"elinewidth": 1})
        axes.set_ylim(len(found) - 0.4, -0.6)
        title(axes, text)
        few_ticks(axes, "x", most=5)
        barely_grid(axes, "x")
    aucs.set_yticks(places, [one.field for one in found])
    loglosses.set_yticks(places, [])
    return figure


def _moved(table: np.ndarray, columns: slice, order: np.ndarray) -> np.ndarray:
    if columns.start == columns.stop:
        return table
    moved = table.copy()
    moved[:, columns] = table[order, columns]
    return moved
