"""Which fields and values determine the routing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import normalized_mutual_info_score

from ada_ensemble_tf.reporting.combinations import DEPTH, exit_depths
from ada_ensemble_tf.reporting.figures import new_figure

MOST_VALUES = 50
"""How many values of a field count separately: the most frequent ones. The others count as one, because few rows and
many values have much information in common by chance."""
SEED = 20230128


def information(gates: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """Normalised mutual information of classes `[N]` with the largest of gates `[N, E]`, and with the kept ones."""
    kept = (gates > 0.0) @ (1 << np.arange(gates.shape[1]))
    with_largest = float(normalized_mutual_info_score(classes, gates.argmax(axis=1)))
    return with_largest, float(normalized_mutual_info_score(classes, kept))


def shares(gates: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """`[count, E]`: by class, the share of its rows that have each choice as largest gate; NaN for no rows."""
    table = np.zeros((count, gates.shape[1]))
    np.add.at(table, (classes, gates.argmax(axis=1)), 1.0)
    with np.errstate(invalid="ignore"):
        return table / table.sum(axis=1, keepdims=True)


class FieldInformation(NamedTuple):
    """How much a field says about a gate's choice.

    `nmi` is the normalised mutual information of the field's values with the largest gate. `chance` is that of the
    values in random order: what finitely many rows give without any relation.
    """

    field: str
    place: str
    nmi: float
    chance: float

    @property
    def excess(self) -> float:
        """What is beyond chance, at least 0."""
        return max(0.0, self.nmi - self.chance)


def field_information(
    gates: Mapping[str, np.ndarray], levels: Mapping[str, np.ndarray], seed: int = SEED
) -> list[FieldInformation]:
    """The dependence of each gate on each field, over the rows that reach the gate; unreached gates are left out.

    Args:
        gates: `[N, E]` by place, as `AdaEnsemble.gates` returns them.
        levels: levels `[N]` by field, of fields with one value per row.
        seed: the seed of the random order.
    """
    rng = np.random.default_rng(seed)
    depths, layer, found = exit_depths(gates), 0, []
    classes = {field: _frequent(one) for field, one in levels.items()}
    for place, values in gates.items():
        reached = np.ones(len(values), bool)
        if place != DEPTH:
            layer += 1
            reached = depths >= layer
        if not reached.any():
            continue
        choices = values[reached].argmax(axis=1)
        for field, one in classes.items():
            nmi = float(normalized_mutual_info_score(one[reached], choices))
            chance = float(normalized_mutual_info_score(rng.permutation(one[reached]), choices))
            found.append(FieldInformation(field, place, nmi, chance))
    return found


class ValueRouting(NamedTuple):
    """Where the rows of one value of a field go: `shares` is `[E]`, by largest gate."""

    value: int
    rows: int
    shares: np.ndarray


def top_values(gates: np.ndarray, levels: np.ndarray, count: int = 8) -> list[ValueRouting]:
    """The most frequent values among levels `[N]`, and where the gates `[N, E]` send their rows."""
    values, rows = np.unique(levels, return_counts=True)
    places = np.argsort(-rows, kind="stable")[:count]
    return [
        ValueRouting(int(values[i]), int(rows[i]), shares(gates, np.where(levels == values[i], 0, 1), 2)[0])
        for i in places
    ]


def field_information_figure(found: Sequence[FieldInformation]) -> Figure:
    """A heat map of what each field says about each gate beyond chance."""
    fields = list(dict.fromkeys(one.field for one in found))
    places = list(dict.fromkeys(one.place for one in found))
    values = {(one.field, one.place): one.excess for one in found}
    table = np.array([[values[field, place] for place in places] for field in fields])
    order = np.argsort(-table.max(axis=1), kind="stable")
    figure, (axes,) = new_figure(height=0.9 + 0.22 * len(fields))
    top = max(table.max(), 0.05)
    image = axes.imshow(table[order], aspect="auto", cmap="Blues", vmin=0.0, vmax=top)
    axes.set_xticks(range(len(places)), places)
    axes.set_yticks(range(len(fields)), [fields[i] for i in order])
    for (row, column), value in np.ndenumerate(table[order]):
        shade = "white" if value > 0.6 * top else "#333333"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=shade)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="NMI less chance", shrink=min(1.0, 8.0 / len(fields)))
    return figure


def _frequent(levels: np.ndarray) -> np.ndarray:
    values, places, counts = np.unique(levels, return_inverse=True, return_counts=True)
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(values))
    return np.minimum(ranks, MOST_VALUES)[places]
