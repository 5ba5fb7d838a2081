"""Routed exits against fixed and random ones, by LogLoss on the same rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ada_ensemble_tf.evaluation.metrics import SMALLEST
from data_pipelines.errors import UserError

ROUTED, RANDOM = "as routed", "random exits"


class Way(NamedTuple):
    """One way to choose exits, measured on N rows."""

    share: float
    """Of the rows, how many the controller sends this way."""
    logloss: float
    """Mean LogLoss in nats."""
    difference: float
    """By how much that exceeds the LogLoss as routed."""
    error: float
    """Standard error of the difference, whose two sides are of the same rows."""
    flops: float
    """Mean FLOPs a row; those of random exits leave the gate out, which they do without."""


class Scored(NamedTuple):
    """A model's rows."""

    labels: np.ndarray
    """`[N]` in {0, 1}."""
    routed: np.ndarray
    """`[N]`, probabilities as routed."""
    exits: np.ndarray
    """`[N, L]`, probabilities at each exit."""
    chosen: np.ndarray
    """`[N]`, the exit of each row as routed, from 0."""
    flops: np.ndarray
    """`[1 + L]`, mean FLOPs a row: as routed, and of each exit."""


def compare(scored: Scored) -> dict[str, Way]:
    """By name: as routed, each fixed exit, random exits of the routed shares."""
    depth = scored.exits.shape[1]
    shares = np.bincount(scored.chosen, minlength=depth) / len(scored.chosen)
    routed, by_exit = _losses(scored.labels, scored.routed), _losses(scored.labels[:, None], scored.exits)

    def way(share: float, losses: np.ndarray, flops: float) -> Way:
        more = losses - routed
        error = np.std(more, ddof=1) / np.sqrt(len(more))
        return Way(float(share), float(np.mean(losses)), float(np.mean(more)), float(error), float(flops))

    fixed = {
        f"exit_{number + 1}": way(shares[number], by_exit[:, number], scored.flops[1 + number])
        for number in range(depth)
    }
    random = way(1.0, by_exit @ shares, shares @ scored.flops[1:])
    return {ROUTED: way(1.0, routed, scored.flops[0])} | fixed | {RANDOM: random}


def _losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    p = np.clip(probabilities.astype(np.float64), SMALLEST, 1.0 - SMALLEST)
    return -np.where(labels > 0.5, np.log(p), np.log1p(-p))


def table(ways: Mapping[str, Way]) -> str:
    """The ways of one run in Markdown."""
    lines = ["| exits | share | LogLoss | less routed | standard error | MFLOPs |", "|---|---|---|---|---|---|"]
    for name, way in ways.items():
        cells = [name, f"{way.share:.1%}", f"{way.logloss:.5f}", f"{way.difference:+.5f}", f"{way.error:.5f}"]
        lines.append("| " + " | ".join([*cells, f"{way.flops / 1e6:.3f}"]) + " |")
    return "\n".join(lines)


def summary(runs: Sequence[Mapping[str, Way]]) -> str:
    """The mean differences of several runs in Markdown.

    Raises:
        UserError: if the runs differ in their exits.
    """
    if any(run.keys() != runs[0].keys() for run in runs):
        raise UserError("the runs of --workdir have different numbers of exits; compare runs of one model")
    lines = [f"| exits | less routed, mean of {len(runs)} runs | standard error |", "|---|---|---|"]
    for name in runs[0]:
        differences = [run[name].difference for run in runs]
        error = np.std(differences, ddof=1) / np.sqrt(len(runs))
        lines.append(f"| {name} | {np.mean(differences):+.5f} | {error:.5f} |")
    return "\n".join(lines)
