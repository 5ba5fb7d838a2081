"""Which model a comparison speaks for: by AUC, by LogLoss and by calibration together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ada_ensemble_tf.comparison.arrays import load_array, load_weights
from ada_ensemble_tf.comparison.significance import LEVEL, holm
from ada_ensemble_tf.evaluation.delong import two_sided
from ada_ensemble_tf.evaluation.intervals import Z
from ada_ensemble_tf.reporting.baselines import logloss_difference


class Standing(NamedTuple):
    """A model among the others, its figures means over seeds."""

    label: str
    auc: float
    mark: str
    """Of its AUC, as in the table: "best", "≈", "<" or "?"."""
    logloss: float
    logloss_worse: bool
    """Whether that is above the lowest beyond noise."""
    calibration: float
    miscalibrated: bool
    """Whether it is off with every seed, and beyond chance and tolerance."""

    @property
    def sound(self) -> bool:
        """Whether its probabilities can be used as they are."""
        return not (self.logloss_worse or self.miscalibrated)

    @property
    def figures(self) -> str:
        """Its three figures."""
        return f"AUC {self.auc:.4f}, LogLoss {self.logloss:.4f}, calibration {self.calibration:.3f}"


def headline(standings: Sequence[Standing]) -> list[tuple[str, str, str]]:
    """(severity, kind, message) of what the comparison says, first what to take.

    A model leads if its AUC is the highest or cannot be told from it, its LogLoss cannot be told from the lowest, and
    it is not mis-calibrated. Of several the one with the highest AUC leads.

    Args:
        standings: all models with a finished run, at least one.
    """
    best = next(one for one in standings if one.mark == "best")
    if len(standings) == 1:
        severity = "note" if best.miscalibrated else "good"
        return [(severity, "best", f"{best.label} is alone here: {best.figures}.")]
    alike = [one for one in standings if one.mark in ("≈", "?")]
    leaders = sorted((one for one in (best, *alike) if one.sound), key=lambda one: -one.auc)
    found = []
    if leaders:
        found.append(("good", "best", _lead(leaders[0], leaders[1:], best)))
        unsound = [one for one in (best, *alike) if not one.sound]
        found += [("note", "not_best", _but(one, best, standings, leaders[0])) for one in unsound]
    else:
        found.append(("note", "best", _no_leader(best, standings)))
    worse = [one.label for one in standings if one.mark == "<"]
    if worse:
        found.append(("note", "worse", f"Worse by AUC beyond noise: {', '.join(worse)}."))
    return found


def _lead(leader: Standing, equal: Sequence[Standing], best: Standing) -> str:
    by_auc = "the highest AUC" if leader is best else "an AUC that cannot be told from the highest"
    text = (
        f"{leader.label} leads: {leader.figures}. It has {by_auc}, a LogLoss that is the lowest or cannot be told from "
        "the lowest, and is not mis-calibrated."
    )
    if equal:
        others = "; ".join(f"{one.label} ({one.figures})" for one in equal)
        text += f" Not distinguishable from it on these test rows and seeds: {others}."
    return text


def _but(one: Standing, best: Standing, standings: Sequence[Standing], leader: Standing) -> str:
    by_auc = "has the highest AUC" if one is best else "is as good by AUC"
    return (
        f"{one.label} {by_auc}, {one.auc:.4f}, but {_wrong(one, standings)}. To rank rows it serves as well as "
        f"{leader.label}; to use its probabilities, {_cure(one)}."
    )


def _no_leader(best: Standing, standings: Sequence[Standing]) -> str:
    lowest, wrong = min(standings, key=lambda one: one.logloss), _wrong(best, standings)
    if not best.logloss_worse:
        by_loss = "the lowest LogLoss" if lowest is best else "a LogLoss that cannot be told from the lowest"
        text = f"{best.label} has the highest AUC, {best.auc:.4f}, and {by_loss}, {best.logloss:.4f}, but {wrong}. "
        return f"{text}To rank rows, take it as it is; to use its probabilities, {_cure(best)}."
    text = f"No model leads in everything. {best.label} has the highest AUC, {best.auc:.4f}, but {wrong}. "
    alike = f" or {lowest.label}, whose AUC cannot be told from it" if lowest.mark in ("≈", "?") else ""
    text += f"To rank rows, take {best.label}{alike}. To use the probabilities, as in bids, take {lowest.label} "
    text += f"({lowest.figures})" + (f" and {_cure(lowest)}" if lowest.miscalibrated else "")
    return f"{text}, or take {best.label} and {_cure(best)}."


def _cure(one: Standing) -> str:
    """What to do about a model that is not sound."""
    ways = ["recalibrate it (config.calibration)"] * one.miscalibrated
    ways += ["keep its checkpoint by LogLoss (config.monitor=logloss)"] * one.logloss_worse
    return " and ".join(ways)


def _wrong(one: Standing, standings: Sequence[Standing]) -> str:
    parts = []
    if one.logloss_worse:
        lowest = min(standings, key=lambda other: other.logloss)
        more = f"{one.logloss / lowest.logloss - 1.0:.1%} above the lowest, {lowest.label}'s {lowest.logloss:.4f}"
        parts.append(f"its LogLoss, {one.logloss:.4f}, is {more}")
    if one.miscalibrated:
        way = "high" if one.calibration > 1.0 else "low"
        parts.append(f"its predictions are too {way} (calibration {one.calibration:.3f})")
    return " and ".join(parts)


def worse_by_logloss(predictions: Mapping[str, Mapping[int, Path]], labels: Path, best: str) -> dict[str, bool]:
    """Whether each model's LogLoss is above that of `best` beyond noise.

    By the same rule as AUC: the median over common seeds of z, the mean difference by row over its standard error, is
    significant after Holm's correction over the models, and the difference is above 0 with every common seed.

    Args:
        predictions: files of predictions by label and seed.
        labels: the file of the test rows' labels.
        best: label of the model with the lowest mean LogLoss.
    """
    known, weights = load_array(labels), load_weights(labels)
    p_values, always = {}, {}
    for label, files in predictions.items():
        seeds = [seed for seed in files if seed in predictions[best]]
        if label == best or not seeds:
            continue
        found = []
        for seed in seeds:
            one, other = (load_array(file, len(known)) for file in (files[seed], predictions[best][seed]))
            found.append(logloss_difference(known, one, other, weights))
        z = [one.value * Z / max(one.high - one.value, 1e-300) if one.value else 0.0 for one in found]
        p_values[label], always[label] = two_sided(float(np.median(z))), all(one.value > 0.0 for one in found)
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {label: corrected.get(label, 1.0) < LEVEL and always[label] if label in always else False
            for label in predictions}  # fmt: skip
