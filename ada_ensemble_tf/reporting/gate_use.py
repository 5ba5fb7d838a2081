"""How much each gate uses each of its choices, and where rows exit."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ada_ensemble_tf.reporting.combinations import DEPTH, exit_depths
from ada_ensemble_tf.reporting.figures import COLORS, barely_grid, colors_of, new_figure, title


@dataclasses.dataclass(frozen=True)
class GateUse:
    """What a gate does with the rows that reach it.

    Attributes:
        place: the gate's place: a layer or "depth".
        choices: their names.
        rows: rows that reach the gate.
        load: `[E]`, share of them whose largest gate is j.
        routed: `[E]`, share of them whose gate j is not zero.
        weight: `[E]`, mean gate.
    """

    place: str
    choices: Sequence[str]
    rows: int
    load: np.ndarray
    routed: np.ndarray
    weight: np.ndarray


def gate_uses(gates: Mapping[str, np.ndarray], choices: Mapping[str, Sequence[str]]) -> list[GateUse]:
    """The use of each gate; for layers, by the rows that do not exit earlier.

    Args:
        gates: `[N, E]` by place, as `AdaEnsemble.gates` returns them.
        choices: the choices' names, by the same places.
    """
    if not gates:
        return []
    depths, uses, layer = exit_depths(gates), [], 0
    for place, values in gates.items():
        if place != DEPTH:
            layer += 1
            values = values[depths >= layer]
        shares = _shares(values) if len(values) else [np.zeros(values.shape[1])] * 3
        uses.append(GateUse(place, tuple(choices[place]), len(values), *shares))
    return uses


def _shares(values: np.ndarray) -> list[np.ndarray]:
    largest = np.bincount(values.argmax(axis=1), minlength=values.shape[1])
    return [largest / len(values), (values > 0.0).mean(axis=0), values.mean(axis=0, dtype=np.float64)]


def gate_use_figure(uses: Sequence[GateUse]) -> Figure:
    """One bar of loads per gate, and beside it how many rows each choice gets."""
    figure, (loads, routed) = new_figure(height=1.0 + 0.42 * len(uses), columns=2)
    places, paints = np.arange(len(uses)), colors_of(use.choices for use in uses)
    for axes, shares, text in (
        (loads, [use.load for use in uses], "Largest gate, share of rows"),
        (routed, [use.routed for use in uses], "Gate above zero, share of rows"),
    ):
        for i, use in enumerate(uses):
            left, width = 0.0, 0.8 / len(use.choices)
            for j, (name, share) in enumerate(zip(use.choices, shares[i], strict=True)):
                if axes is loads:
                    axes.barh(i, share, left=left, color=paints[name], height=0.7)
                    left += share
                else:
                    axes.barh(i - 0.4 + (j + 0.5) * width, share, color=paints[name], height=width)
        title(axes, text)
        axes.set(xlim=(0.0, 1.0), ylim=(len(uses) - 0.5, -0.5))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        barely_grid(axes, "x")
    loads.set_yticks(places, [use.place for use in uses])
    routed.set_yticks(places, [])
    handles = [loads.bar(0, 0, color=paint) for paint in paints.values()]
    # A legend takes containers of bars too, which the stubs leave out.
    figure.legend(  # type: ignore[call-overload]
        handles, list(paints), loc="outside lower center", ncols=min(len(paints), 6), frameon=False, fontsize=8
    )
    return figure


def exit_figure(depths: np.ndarray, num_layers: int) -> Figure:
    """Share of rows by exit depth. `depths` are `[N]`, from 1 to `num_layers`."""
    shares = np.bincount(depths, minlength=num_layers + 1)[1:] / len(depths)
    figure, (axes,) = new_figure(height=0.7 + 0.3 * num_layers)
    bars = axes.barh(range(1, num_layers + 1), shares, color=COLORS[0], height=0.7)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares], fontsize=8, padding=3)
    axes.set_yticks(range(1, num_layers + 1), [f"exit_{depth}" for depth in range(1, num_layers + 1)])
    axes.set(xlabel="share of rows", xlim=(0.0, 1.1 * shares.max()), ylim=(num_layers + 0.5, 0.5))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    barely_grid(axes, "x")
    return figure
