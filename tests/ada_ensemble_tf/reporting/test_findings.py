"""Each problem made on purpose is found, and none in a sound model."""

import numpy as np
import pytest
from made_up_evidence import CHOICES, COLUMNS, OFFSETS, made_up_evidence

from ada_ensemble_tf.evaluation.intervals import metric_intervals
from ada_ensemble_tf.reporting import findings
from ada_ensemble_tf.reporting.baselines import Baseline
from ada_ensemble_tf.reporting.findings import Finding, find, gate_findings, training_findings
from ada_ensemble_tf.reporting.gate_use import GateUse, gate_uses
from ada_ensemble_tf.reporting.learning_curves import Curve
from ada_ensemble_tf.reporting.slices import worst_slices
from ada_ensemble_tf.reporting.vocabulary_coverage import coverage


def found_in(evidence) -> list[Finding]:
    """As `run_page` finds them."""
    n = len(evidence.ids)
    slices = worst_slices(evidence.labels[:n], evidence.probabilities[:n], evidence.ids, evidence.columns)
    return find(evidence, metric_intervals(evidence.labels, evidence.probabilities), slices)


def test_a_sound_model_has_no_findings():
    assert found_in(made_up_evidence()) == [] == found_in(made_up_evidence(with_gates=False))


def test_a_dead_expert_is_named():
    evidence = made_up_evidence()
    gates = dict(evidence.gates)
    gates["layer_2"] = gates["layer_2"] * [1.0, 1.0, 0.0]
    gates["layer_2"] /= gates["layer_2"].sum(axis=1, keepdims=True)
    (one,) = found_in(made_up_evidence(gates=gates, uses=gate_uses(gates, CHOICES)))
    assert (one.severity, one.kind) == ("problem", "dead_expert")
    assert "Dead expert: attention in layer_2 gets 0.00% of rows" in one.message


def test_a_collapsed_gate_is_named_once_and_not_as_dead_experts():
    evidence = made_up_evidence()
    gates = evidence.gates | {"layer_1": np.tile([0.0, 1.0, 0.0], (len(evidence.ids), 1))}
    (one,) = found_in(made_up_evidence(gates=gates, uses=gate_uses(gates, CHOICES)))
    assert (one.severity, one.kind) == ("problem", "collapsed_gate")
    assert "layer_1 gives cross to 100.0% of rows" in one.message and "expert_load_weight" in one.message


def test_a_collapsed_depth_gate_and_the_layer_that_nobody_reaches():
    evidence = made_up_evidence()
    gates = evidence.gates | {"depth": np.tile([1.0, 0.0], (len(evidence.ids), 1))}
    collapsed, unreached = found_in(made_up_evidence(gates=gates, uses=gate_uses(gates, CHOICES)))
    assert collapsed.kind == "collapsed_gate" and "depth gives exit_1" in collapsed.message
    assert (unreached.severity, unreached.kind) == ("note", "unreached_layer")
    assert "layer_2 is reached by 0 of 4,000 rows" in unreached.message


def test_one_leader_over_a_mixture_is_a_note():
    """All experts of a dense mixture contribute, even if one always has the largest gate."""
    use = GateUse("gate", ("a", "b"), 1000, np.array([1.0, 0.0]), np.array([1.0, 1.0]), np.array([0.6, 0.4]))
    assert [(one.severity, one.kind) for one in gate_findings([use])] == [("note", "one_leader")]


def test_an_exit_that_nobody_takes_is_a_note():
    load = np.array([0.5, 0.499, 0.001])
    (one,) = gate_findings([GateUse("depth", ("exit_1", "exit_2", "exit_3"), 5000, load, load, load)])
    assert (one.severity, one.kind) == ("note", "unused_exit") and "exit_3 is taken by 0.10% of rows" in one.message


def test_a_miscalibrated_model_is_named():
    evidence = made_up_evidence()
    (one,) = found_in(made_up_evidence(probabilities=evidence.probabilities * 0.8))
    assert (one.severity, one.kind) == ("problem", "miscalibrated")
    assert "0.80" in one.message and "too low" in one.message


def test_a_model_that_is_right_in_the_mean_only_is_miscalibrated_too():
    evidence = made_up_evidence()
    p = evidence.probabilities
    squeezed = p.mean() + 0.6 * (p - p.mean())
    (one,) = found_in(made_up_evidence(probabilities=squeezed * evidence.labels.mean() / p.mean()))
    assert one.kind == "miscalibrated" and "in parts" in one.message


def test_chance_alone_is_not_miscalibration():
    """Labels drawn from the predictions themselves: as many draws, hardly a finding."""
    rng = np.random.default_rng(0)
    p = rng.beta(2, 8, 1000)
    draws = [(rng.random(1000) < p).astype(np.float64) for _ in range(8)]
    kinds = [findings.calibration_findings(y, p, metric_intervals(y, p)["calibration"]) for y in draws]
    assert sum(map(len, kinds)) <= 1


def test_what_is_said_of_parts_agrees_with_the_interval_of_the_mean():
    """The mean may be off beyond chance and yet within tolerance; then it is not called right."""
    rng = np.random.default_rng(4)
    p = rng.beta(2, 3, 60_000)
    labels = (rng.random(60_000) < p).astype(np.float64)
    squeezed = p.mean() + 0.7 * (p - p.mean())
    for factor, words in (
        (1.0, "right on average: the interval holds 1"),
        (1.016, "beyond chance, but less than the 2 %"),
    ):
        scores = squeezed * factor * labels.mean() / p.mean()
        interval = metric_intervals(labels, scores)["calibration"]
        (one,) = findings.calibration_findings(labels, scores, interval)
        assert "in parts" in one.message and words in one.message
        assert f"{interval.value:.4f}, 95 % interval {interval.low:.4f} to {interval.high:.4f}" in one.message
        assert interval.excludes(1.0) == (factor != 1.0)


@pytest.mark.parametrize(
    ("scores", "name", "kinds"),
    [
        ("worse", "logistic_regression", [("problem", "worse_than_baseline")]),
        ("same", "logistic_regression", [("note", "not_better_than_baseline")]),
        ("better", "logistic_regression", [("good", "better_than_baseline")]),
        ("better", "base rate", []),
        ("wild", "base rate", [("problem", "worse_than_base_rate")]),
    ],
)
def test_a_model_is_held_against_its_baselines(scores, name, kinds):
    evidence = made_up_evidence(with_gates=False)
    true = evidence.probabilities
    noisy = np.clip(true + np.random.default_rng(2).normal(0.0, 0.2, len(true)), 0.01, 0.99)
    wild = np.where(evidence.labels > 0.5, 0.3, 0.7)
    mine = {"worse": noisy, "same": true, "better": true, "wild": wild}[scores]
    theirs = noisy if scores == "better" else true
    if name == "base rate":
        theirs = np.full(len(true), evidence.labels.mean())
    changed = made_up_evidence(with_gates=False, probabilities=mine, baselines=[Baseline(name, theirs, "runs/x")])
    assert [(one.severity, one.kind) for one in findings.baseline_findings(changed)] == kinds


def test_a_flood_of_unknown_values_is_named():
    evidence = made_up_evidence()
    flooded = evidence.ids.copy()
    flooded[: len(flooded) // 2, 1] = OFFSETS["city"]
    shares = coverage({"train": evidence.ids, "validation": evidence.ids, "test": flooded}, COLUMNS, OFFSETS)
    (one,) = found_in(made_up_evidence(coverage=shares))
    assert (one.severity, one.kind) == ("problem", "vocabulary_flood")
    assert "50.0% of test values of city" in one.message and "training 0.0%, of validation 0.0%" in one.message
    assert "moved on" in one.message
    shares = coverage({"train": evidence.ids, "validation": flooded, "test": flooded}, COLUMNS, OFFSETS)
    (one,) = found_in(made_up_evidence(coverage=shares))
    assert "raise its min_count" in one.message and "moved on" not in one.message


def test_a_field_that_was_unknown_from_the_start_is_a_note():
    ids = np.zeros((10, 2), np.int32) + [0, 41]
    shares = coverage({"train": ids, "test": ids}, COLUMNS, OFFSETS)
    assert [(one.severity, one.kind) for one in findings.vocabulary_findings(shares)] == [("note", "mostly_unknown")]


@pytest.mark.parametrize(
    ("losses", "best", "kinds"),
    [
        ([0.6, 0.5, 0.5, 0.501], 20, []),
        ([0.6, 0.5, 0.55, 0.7], 20, ["overfitting"]),
        ([0.5, 0.52, 0.6, 0.61], 30, ["overconfident"]),
        ([0.6, 0.55, 0.5, 0.48], 40, ["still_learning"]),
    ],
)
def test_hints_of_training(losses, best, kinds):
    steps = np.array([10, 20, 30, 40])
    curves = {"metrics/logloss": Curve(steps, np.array(losses)), "metrics/auc": Curve(steps, np.ones(4))}
    assert [one.kind for one in training_findings(curves, best)] == kinds
    assert training_findings({}, best) == []


def test_an_overconfident_checkpoint_says_which_metric_kept_it_and_which_would_not_have():
    curves = {
        "metrics/logloss": Curve(np.array([10, 20]), np.array([0.5, 0.6])),
        "metrics/auc": Curve(np.array([10, 20, 30]), np.ones(3)),
    }
    (one,) = training_findings(curves, 20, "auc")
    assert "by AUC step 20 is best" in one.message and "config.monitor=logloss" in one.message


def test_a_slice_that_the_model_has_wrong_is_named():
    evidence = made_up_evidence()
    p, bad = evidence.probabilities.copy(), evidence.ids[:, 1] == 43
    p[bad] = 1.0 - p[bad]
    slices = [one for one in found_in(made_up_evidence(probabilities=p)) if one.kind == "bad_slice"]
    assert len(slices) == 1 and "Worse than a constant where city = city no. 3" in slices[0].message


def test_other_data_or_weights_than_those_of_the_training():
    assert [one.kind for one in found_in(made_up_evidence(same_data=False))] == ["other_data"]
    results = {"test": {"auc": 0.5}, "best_step": 30}
    (one,) = found_in(made_up_evidence(results=results))
    assert one.kind == "other_weights" and "0.50000" in one.message


def test_problems_come_first():
    evidence = made_up_evidence()
    gates = evidence.gates | {"depth": np.tile([1.0, 0.0], (len(evidence.ids), 1))}
    changed = made_up_evidence(gates=gates, uses=gate_uses(gates, CHOICES), probabilities=evidence.probabilities * 0.5)
    severities = [one.severity for one in found_in(changed)]
    assert severities == sorted(severities, reverse=True) and set(severities) == {"problem", "note"}
