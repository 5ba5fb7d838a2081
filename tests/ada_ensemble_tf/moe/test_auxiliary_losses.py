import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.gates import gate_report
from ada_ensemble_tf.moe import AuxiliaryLosses

LOSSES = AuxiliaryLosses(
    expert_prior=(0.25, 0.75),
    depth_prior=(0.5, 0.5),
    expert_load_weight=0.1,
    depth_load_weight=0.2,
    z_weight=0.0,
    decorrelation_weight=0.0,
)


def report(gates, z=0.0, penalty=0.0, decorrelation=0.0):
    gates = tf.constant(gates)
    one = gate_report(gates, gates, gates, 2, z, penalty=penalty)
    return one._replace(decorrelation=tf.constant(decorrelation))


# Loads 1/2, 1/2 and 1, 0; 0, 1 of the depth gate. Probabilities 0.5, 0.5 and 0.75, 0.25; 0.25, 0.75.
LAYERS = [
    report([[0.75, 0.25], [0.25, 0.75]], 1.0, 0.5, 0.25),
    report([[1.0, 0.0], [0.5, 0.5]], 2.0, 0.0, 0.75),
]
DEPTH = report([[0.25, 0.75]], 4.0, 0.25)
EXPERTS = 0.1 * ((0.5 * 0.5 / 0.25 + 0.5 * 0.5 / 0.75) + 1.0 * 0.75 / 0.25)


def assert_terms(terms, expected):
    assert list(terms) == list(expected)
    np.testing.assert_allclose([float(terms[name]) for name in expected], list(expected.values()), rtol=1e-6)


def test_terms_by_hand():
    expected = {"expert_distribution": EXPERTS, "depth_distribution": 0.2 * 1.0 * 0.75 / 0.5, "gate_penalty": 0.75}
    assert_terms(LOSSES.terms(LAYERS, DEPTH, gated=True), expected)
    assert_terms(LOSSES.terms(LAYERS, None, gated=True), {"expert_distribution": EXPERTS, "gate_penalty": 0.5})


def test_coefficients_switch_the_other_terms_on():
    losses = dataclasses.replace(LOSSES, z_weight=0.5, decorrelation_weight=2.0)
    terms = losses.terms(LAYERS, DEPTH, gated=True)
    assert float(terms["router_z"]) == 0.5 * (4.0 + 1.0 + 2.0)
    assert float(terms["decorrelation"]) == 2.0 * (0.25 + 0.75)


def test_the_load_of_dispatched_rows_by_hand():
    # All keep both but one row of the second layer, which keeps the first expert alone.
    terms = dataclasses.replace(LOSSES, load="dispatched").terms(LAYERS, DEPTH, gated=True)
    first, second = 1.0 * 0.5 / 0.25 + 1.0 * 0.5 / 0.75, 1.0 * 0.75 / 0.25 + 0.5 * 0.25 / 0.75
    assert float(terms["expert_distribution"]) == pytest.approx(0.1 * (first + second))
    assert float(terms["depth_distribution"]) == pytest.approx(0.2 * (0.25 / 0.5 + 0.75 / 0.5))


def test_a_fusion_has_no_shares_to_expect():
    assert_terms(LOSSES.terms(LAYERS, None, gated=False), {"gate_penalty": 0.5})


def test_a_negative_coefficient_of_the_decorrelation():
    with pytest.raises(ValueError, match="decorrelation_weight must not be negative; received -1"):
        dataclasses.replace(LOSSES, decorrelation_weight=-1.0)
