import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.optimizers import OPTIMIZERS, RowSparseOptimizer, make_optimizer

ROW_SPARSE = sorted(name for name, cls in OPTIMIZERS.items() if issubclass(cls, RowSparseOptimizer))
MOMENTUM, V = 0.8, 6


def sparse(rows, width, seed):
    values = np.random.default_rng(seed).normal(size=(len(rows), width)).astype(np.float32)
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([V, width]))


@pytest.mark.parametrize("name", ROW_SPARSE)
def test_the_average_of_rows_is_that_of_a_pass_over_all_rows_at_each_step(name):
    start = np.random.default_rng(0).normal(0, 0.1, (V, 3)).astype(np.float32)
    table = keras.Variable(start, name="table")
    optimizer = make_optimizer(name, learning_rate=0.1, use_ema=True, ema_momentum=MOMENTUM)
    optimizer.build([table])
    # What a pass over all rows would keep, in float64. Row 3 never has a gradient, row 4 only the first time.
    expected = tf.convert_to_tensor(table).numpy().astype(np.float64)
    step = tf.function(lambda gradient: optimizer.apply([gradient], [table]), autograph=False)
    for number, rows in enumerate([[0, 4], [1, 1, 0], [2], [5, 0], [1], [1], [0, 2, 5, 1]]):
        step(sparse(rows, 3, number))
        expected = MOMENTUM * expected + (1 - MOMENTUM) * table.numpy()
        np.testing.assert_allclose(optimizer.averaged(table), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(optimizer.averaged(table) - table.numpy()).max() > 1e-3
    # A dense gradient is one of all rows.
    optimizer.apply([tf.ones([V, 3])], [table])
    expected = MOMENTUM * expected + (1 - MOMENTUM) * table.numpy()
    np.testing.assert_allclose(optimizer.averaged(table), expected, rtol=1e-5, atol=1e-6)


def test_a_scalar_has_an_average():
    scalar = keras.Variable(1.0)
    optimizer = make_optimizer("sparse_adam", learning_rate=0.1, use_ema=True, ema_momentum=0.5)
    optimizer.build([scalar])
    seen = [1.0]
    for _ in range(3):
        optimizer.apply([tf.constant(2.0)], [scalar])
        seen.append(0.5 * seen[-1] + 0.5 * float(scalar.numpy()))
    assert float(optimizer.averaged(scalar)) == pytest.approx(seen[-1], rel=1e-6)


def test_the_options_are_part_of_the_config_and_checked():
    optimizer = make_optimizer("group_ftrl", use_ema=True, ema_momentum=0.9)
    config = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)).get_config()
    assert (config["use_ema"], config["ema_momentum"]) == (True, 0.9)
    # Keras' own averages, which walk all rows at each step, stay off.
    assert not optimizer.use_ema
    with pytest.raises(ValueError, match=r"ema_momentum must lie in \[0, 1\); received 1.0"):
        make_optimizer("group_ftrl", use_ema=True, ema_momentum=1.0)
    with pytest.raises(ValueError, match="use_ema averages the weights at each step, which catch_up computes later"):
        make_optimizer("sparse_adam", use_ema=True, catch_up=True)
