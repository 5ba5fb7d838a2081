"""Which experts each row keeps together, layer by layer."""

from collections.abc import Mapping, Sequence

import numpy as np

DEPTH = "depth"
"""The depth gate's place among the gates; all others are layers, from the first on."""
EXITED = -1
"""In place of a combination: the row exited before this layer."""
CLUSTERS = 4


def exit_depths(gates: Mapping[str, np.ndarray]) -> np.ndarray:
    """The exit `[N]` of each row, from 1: its largest depth gate, or the last layer where there is no depth gate."""
    if DEPTH in gates:
        return gates[DEPTH].argmax(axis=1) + 1
    first = next(iter(gates.values()))
    return np.full(len(first), len(gates))


def combination_paths(gates: Mapping[str, np.ndarray]) -> np.ndarray:
    """`[N, L]`: the experts kept in each layer, bit j for expert j, and `EXITED` in layers after the row's exit.

    Args:
        gates: the gates of all rows, `[N, E]`, by place and in the order of layers, as `AdaEnsemble.gates` returns
            them; if there is a depth gate, also `[N, L]` at `DEPTH`.

    Raises:
        ValueError: if there is no layer, or there are no rows.

    Example:
        >>> combination_paths({"layer_1": np.array([[0.5, 0.0, 0.5]]), "layer_2": np.array([[0.0, 1.0, 0.0]])})
        array([[5, 2]])
    """
    layers = [values for place, values in gates.items() if place != DEPTH]
    if not layers:
        raise ValueError(f"needs the gates of one or more layers; received those of {list(gates) or 'nothing'}")
    if not len(layers[0]):
        raise ValueError("needs the gates of one or more rows; received none")
    paths = np.stack([(values > 0.0) @ (1 << np.arange(values.shape[1])) for values in layers], axis=1)
    return np.where(np.arange(len(layers)) < exit_depths(gates)[:, None], paths, EXITED)


def experts_in(combination: int, names: Sequence[str]) -> list[str]:
    """The names of a combination's experts."""
    return [name for j, name in enumerate(names) if combination >> j & 1]


def frequency_clusters(counts: np.ndarray, most: int = CLUSTERS) -> np.ndarray:
    """A cluster for each of n counts, 0 the most frequent: k-means of their logarithms, k at most `most`.

    Example:
        >>> frequency_clusters(np.array([5, 900, 6, 1000, 80]), most=3)
        array([2, 0, 2, 0, 1])
    """
    x = np.log(counts)
    centers = np.linspace(x.max(), x.min(), min(most, len(np.unique(x))))
    for _ in range(100):
        nearest = np.abs(x[:, None] - centers).argmin(axis=1)
        moved = np.array([x[nearest == j].mean() for j in np.unique(nearest)])
        if np.array_equal(moved, centers):
            break
        centers = moved
    return np.unique(nearest, return_inverse=True)[1]


def abbreviations(names: Sequence[str]) -> list[str]:
    """The shortest beginning of each name, of two letters or more, with which no other begins; else the whole name.

    Example:
        >>> abbreviations(["cross", "convolution", "cin", "cin_2"])
        ['cr', 'co', 'cin', 'cin_']
    """

    def shortest(name: str) -> str:
        starts = (name[:n] for n in range(2, len(name)))
        return next((start for start in starts if sum(other.startswith(start) for other in names) == 1), name)

    return [shortest(name) for name in names]
