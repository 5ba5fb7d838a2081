import numpy as np
import pytest
import tensorflow as tf
from layer_checks import (
    check_gradients,
    check_zero_rows,
    config_round_trip,
    float64_layers,
    random_weights,
    round_trip,
)

from ada_ensemble_tf.layers.residual_unit import ResidualUnit


def test_output_by_hand():
    unit = ResidualUnit(1)
    unit.build((None, 2))
    unit.inner.dense_layers[0].kernel.assign([[1.0], [1.0]])
    unit.inner.dense_layers[0].bias.assign([-1.0])
    unit.outer.kernel.assign([[2.0, -3.0]])
    unit.outer.bias.assign([0.0, 1.0])
    # relu(1 + 2 - 1) = 2; (4, -6) + (0, 1) + (1, 2) = (5, -3), rectified after the addition: (5, 0).
    np.testing.assert_allclose(unit(tf.constant([[1.0, 2.0]])), [[5.0, 0.0]])
    # relu(-1) = 0: (0, 1) + x.
    np.testing.assert_allclose(unit(tf.constant([[-1.0, 0.5]])), [[0.0, 1.5]])
    assert unit.flops() == 2 * 2 + 2 * 2 + 2


def test_gradients_agree_with_differences():
    with float64_layers():
        unit = ResidualUnit(3)
        x = np.random.default_rng(0).normal(size=(4, 5))
        unit(x)
        random_weights(unit)
        check_gradients(unit, x)


def test_normalization_and_dropout_are_within():
    unit = ResidualUnit(100, "batch", 0.5)
    unit.build((None, 2))
    inner = unit.inner(tf.random.stateless_normal([50, 2], [1, 2]), training=True).numpy()
    # Half of the normalised values are negative, and half of the others are dropped.
    assert np.mean(inner == 0.0) == pytest.approx(0.75, abs=0.05)


def test_zero_rows():
    x = np.ones((2, 4), np.float32)
    unit = ResidualUnit(3, "batch")
    unit(x)
    check_zero_rows(unit, x)


def test_round_trips():
    unit = ResidualUnit(3, "layer", 0.25)
    again = config_round_trip(unit)
    assert (again.units, again.normalization, again.dropout) == (3, "layer", 0.25)
    before, after = round_trip(unit, np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"units": 0}, r"hidden_units must be one or more positive sizes; received \[0\]"),
        ({"units": 2, "normalization": "group"}, "normalization must be 'batch', 'layer' or 'none'; received 'group'"),
        ({"units": 2, "dropout": 1.0}, r"dropout must lie in \[0, 1\); received 1.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualUnit(**arguments)
