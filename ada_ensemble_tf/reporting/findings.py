"""What is wrong with a trained model, in plain words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from ada_ensemble_tf.evaluation.intervals import Interval, Z
from ada_ensemble_tf.reporting import calibration
from ada_ensemble_tf.reporting.baselines import BASE_RATE, difference
from ada_ensemble_tf.reporting.combinations import DEPTH
from ada_ensemble_tf.reporting.evidence import Evidence
from ada_ensemble_tf.reporting.gate_use import GateUse
from ada_ensemble_tf.reporting.learning_curves import Curve
from ada_ensemble_tf.reporting.slices import Slice
from ada_ensemble_tf.reporting.vocabulary_coverage import Coverage
from ada_ensemble_tf.trained.config_ranges import MONITORED

DEAD_SHARE = 0.005
"""A choice with a smaller share of a gate's rows is dead: one row in 200 neither trains an expert nor repays its
memory."""
COLLAPSED_SHARE = 0.99
"""If at least this share of a gate's rows has the same largest choice, the gate is a constant."""
COLLAPSED_WEIGHT = 0.9
"""If the mean gate of that choice is at least this, the others have no say either."""
MIN_REACHED = 100
"""Rows that must reach a gate before its shares mean anything: of these, 0.5 % is half a row."""
FLOOD_RISE = 0.10
"""Rise of a field's out-of-vocabulary share from training to test: one row in ten has lost the field's information."""
MOSTLY_UNKNOWN = 0.5
"""From this out-of-vocabulary share of the training split on, a field mostly says nothing."""
LOGLOSS_RISE = 0.02
"""Relative rise of validation LogLoss over its lowest value that evaluation noise seldom causes."""
AUC_AGREEMENT = 1e-3
"""Between machines and batch sizes AUC differs by less than this, in bfloat16 too."""


SEVERITIES = ("problem", "note", "good")


class Finding(NamedTuple):
    """`severity` is "problem", "note" or "good"; `kind` is for programs; `message` says what, how much, what to do."""

    severity: str
    kind: str
    message: str


def find(evidence: Evidence, intervals: Mapping[str, Interval], slices: Sequence[Slice]) -> list[Finding]:
    """All findings, in the order of `SEVERITIES`.

    Args:
        evidence: the model's evidence.
        intervals: its metrics on the test split, by their names in metrics.json.
        slices: slices of its test rows.
    """
    found = [
        *data_findings(evidence.results, intervals, evidence.same_data),
        *gate_findings(evidence.uses),
        *calibration_findings(evidence.labels, evidence.probabilities, intervals["calibration"]),
        *vocabulary_findings(evidence.coverage),
        *baseline_findings(evidence),
        *training_findings(evidence.validation, evidence.results.get("best_step"), evidence.monitor),
        *slice_findings(slices, evidence),
    ]
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def data_findings(results: Mapping, intervals: Mapping[str, Interval], same_data: bool) -> list[Finding]:
    """Whether the report shows the data and weights that metrics.json is about."""
    if not same_data:
        text = "The prepared data are not those of the training: test rows may have been trained on. Train again."
        return [Finding("problem", "other_data", text)]
    known, now = results.get("test", {}).get("auc"), intervals["auc"].value
    if known is not None and abs(known - now) > AUC_AGREEMENT:
        text = (
            f"metrics.json has a test AUC of {known:.5f}, the checkpoint now gives {now:.5f}: weights or code changed."
        )
        return [Finding("problem", "other_weights", text)]
    return []


def gate_findings(uses: Sequence[GateUse]) -> list[Finding]:
    """Dead experts, collapsed gates, and exits or layers that hardly any row reaches."""
    found = []
    all_rows = max((use.rows for use in uses), default=0)
    for use in uses:
        if not is_reached(use.rows, all_rows):
            text = (
                f"{use.place} is reached by {use.rows:,} of {all_rows:,} rows: the model is shallower than it is built."
            )
            found.append(Finding("note", "unreached_layer", text))
            continue
        first = int(np.argmax(use.load))
        if use.load[first] >= COLLAPSED_SHARE:
            found.append(_collapsed(use, first))
            if found[-1].severity == "problem":
                # All other choices are then dead for the same reason.
                continue
        for name, routed, weight in zip(use.choices, use.routed, use.weight, strict=True):
            if is_dead(routed, weight):
                found.append(_dead(use.place, name, routed, weight))
    return found


def is_reached(rows: int, all_rows: int) -> bool:
    """Whether enough rows reach a gate for its shares to mean anything."""
    return rows >= max(MIN_REACHED, DEAD_SHARE * all_rows)


def is_dead(routed: float, weight: float) -> bool:
    """Whether a choice is dead, by the share of rows whose gate is not zero and the mean gate."""
    return min(routed, weight) < DEAD_SHARE


def _collapsed(use: GateUse, first: int) -> Finding:
    name, share, weight = use.choices[first], use.load[first], use.weight[first]
    if weight < COLLAPSED_WEIGHT:
        text = f"{use.place}: {name} has the largest gate on {share:.1%} of rows, though others share in the output."
        return Finding("note", "one_leader", text)
    cure = "depth_load_weight" if use.place == DEPTH else "expert_load_weight"
    text = (
        f"Collapsed gate: {use.place} gives {name} to {share:.1%} of rows, so it decides nothing. "
        f"Raise {cure} or the gate's temperature, or do without the gate."
    )
    return Finding("problem", "collapsed_gate", text)


def _dead(place: str, name: str, routed: float, weight: float) -> Finding:
    shares = f"{routed:.2%} of rows, mean gate {weight:.4f}"
    if place == DEPTH:
        return Finding("note", "unused_exit", f"Unused exit: {name} is taken by {shares}.")
    text = f"Dead expert: {name} in {place} gets {shares}. Raise expert_load_weight, anneal K for longer, or drop it."
    return Finding("problem", "dead_expert", text)


def calibration_findings(labels: np.ndarray, probabilities: np.ndarray, found: Interval) -> list[Finding]:
    """Whether predictions are right on average, and where they are not right in groups."""
    mean = f"mean prediction over observed rate is {calibration.in_numbers(found)}, {calibration.verdict(found)}"
    if calibration.miscalibrated(found):
        text = f"Mis-calibrated: {mean}. Recalibrate before bidding by it (config.calibration=temperature or isotonic)."
        return [Finding("problem", "miscalibrated", text)]
    if (parts := calibration.wrong_in_parts(labels, probabilities)) is not None:
        text = (
            f"Mis-calibrated in parts: over groups of like prediction, predictions are off by {parts[0]:.4f} on "
            f"average, {parts[0] / float(np.mean(labels)):.1%} of the base rate; chance gives {parts[1]:.4f} at most. "
            f"Over all rows {mean}. See Calibration."
        )
        return [Finding("problem", "miscalibrated", text)]
    return []


def baseline_findings(evidence: Evidence) -> list[Finding]:
    """Whether the model is better than the base rate and than a simple model."""
    found = []
    for one in evidence.baselines:
        more = difference(evidence.labels, evidence.probabilities, one.probabilities, evidence.weights)
        if one.name == BASE_RATE:
            if more.logloss.low > 0.0:
                text = (
                    f"Worse than a constant: LogLoss is {more.logloss.value:.5f} above that of predicting the base "
                    "rate for every row. Regularise more, lower the learning rates, or look at the data."
                )
                found.append(Finding("problem", "worse_than_base_rate", text))
        elif more.better:
            text = f"Better than {one.name} ({one.where}) on the same test rows: {more.written()}."
            found.append(Finding("good", "better_than_baseline", text))
        elif more.worse:
            text = f"Worse than {one.name} ({one.where}) on the same test rows: {more.written()}."
            found.append(Finding("problem", "worse_than_baseline", text))
        else:
            text = f"Not better than {one.name} ({one.where}) beyond noise: {more.written()}."
            found.append(Finding("note", "not_better_than_baseline", text))
    return found


def vocabulary_findings(coverage: Sequence[Coverage]) -> list[Finding]:
    """Floods of out-of-vocabulary values."""
    found = []
    for one in coverage:
        test, train = one.shares["test"], one.shares["train"]
        if test - train > FLOOD_RISE:
            validation = one.shares.get("validation", train)
            text = (
                f"Out-of-vocabulary flood: {test:.1%} of test values of {one.field} are unknown to the model, of "
                f"training {train:.1%}, of validation {validation:.1%}. "
            )
            if validation - train > FLOOD_RISE:
                text += (
                    "Most of its values are new in whatever rows come next: train on more rows, or raise its "
                    "min_count, so that the row of unknown values is trained as often as it is read."
                )
            else:
                text += "The log has moved on: prepare and train on newer rows, or look at the field."
            found.append(Finding("problem", "vocabulary_flood", text))
        elif train > MOSTLY_UNKNOWN:
            text = (
                f"{one.field}: {train:.1%} of training values are out of vocabulary; lower min_count or drop the field."
            )
            found.append(Finding("note", "mostly_unknown", text))
    return found


def training_findings(validation: Mapping[str, Curve], best_step: int | None, monitor: str = "auc") -> list[Finding]:
    """Signs of over-fitting, or of training that ended too soon."""
    if "metrics/logloss" not in validation or "metrics/auc" not in validation or best_step is None:
        return []
    found, losses = [], validation["metrics/logloss"]
    lowest, last = losses.values.min(), losses.values[-1]
    kept = losses.values[np.argmin(np.abs(losses.steps - best_step))]
    if kept > lowest * (1.0 + LOGLOSS_RISE):
        text = (
            f"Over-confident at the kept checkpoint: by {MONITORED[monitor].written} step {best_step:,} is best, but "
            f"its validation LogLoss {kept:.5f} is {kept / lowest - 1.0:.1%} above the lowest, {lowest:.5f}. "
            "Regularise more, recalibrate, or keep the checkpoint with the best LogLoss (config.monitor=logloss)."
        )
        found.append(Finding("note", "overconfident", text))
    if losses.steps[-1] > best_step and last > kept * (1.0 + LOGLOSS_RISE):
        text = (
            f"Over-fitting after step {best_step:,}: validation LogLoss rose from {kept:.5f} to {last:.5f} by step "
            f"{int(losses.steps[-1]):,}. Early stopping kept the better checkpoint; more training will not help."
        )
        found.append(Finding("note", "overfitting", text))
    if best_step >= validation["metrics/auc"].steps[-1] > validation["metrics/auc"].steps[0]:
        text = f"The last evaluation, at step {best_step:,}, was the best: longer training (max_epochs) may give more."
        found.append(Finding("note", "still_learning", text))
    return found


def slice_findings(slices: Sequence[Slice], evidence: Evidence) -> list[Finding]:
    """Slices on which a constant would beat the model, beyond what so many slices give by chance."""
    limit = ndtri(1.0 - 0.05 / len(slices)) if slices else 0.0
    errors = [(one.high - one.difference) / Z for one in slices]
    bad = [one for one, error in zip(slices, errors, strict=True) if one.difference > limit * error]
    if not bad:
        return []
    worst, more = bad[0], f", and {len(bad) - 1} more slices" if len(bad) > 1 else ""
    name = f"{worst.field} = {evidence.value_name(worst.field, worst.id)}"
    text = (
        f"Worse than a constant where {name} ({worst.rows:,} rows){more}: LogLoss {worst.logloss:.4f}, "
        f"that of the slice's own rate {worst.base_logloss:.4f}."
    )
    return [Finding("problem", "bad_slice", text)]
