import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.moe import SparseMoE, propagate

FIELDS, WIDTH, LAYERS = 6, 12, 3


@pytest.fixture(scope="module")
def network():
    layers, estimators = [], []
    for depth in range(LAYERS):
        layer = SparseMoE(("cross", "dense", "polynomial"), FIELDS, "layer", name=f"layer_{depth}")
        layer.build((None, WIDTH), (None, WIDTH))
        estimator = Estimator(initial_logit=0.1 * depth)
        estimator.build((None, WIDTH))
        layers.append(layer)
        estimators.append(estimator)
    return layers, estimators


def full_depth(x0, network, k=2):
    """Every row through every layer, every exit's logit: the dense twin."""
    x, logits = x0, []
    for layer, estimator in zip(*network, strict=True):
        x, _, _ = layer(x0, x, k=k)
        logits.append(estimator(x))
    return tf.stack(logits, axis=1)


def one_exit(depths, num_layers=LAYERS):
    return tf.one_hot([depth - 1 for depth in depths], num_layers)


GATES = {
    "mixed exits": one_exit([1, 3, 2, 2, 1, 3, 3, 1]),
    "all exit first": one_exit([1] * 8),
    "all exit last": one_exit([3] * 8),
    "none at the middle": one_exit([1, 3] * 4),
    "several exits a row": tf.constant([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]] * 2),
}


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_equals_the_dense_twin(kind, in_graph, network):
    gates = GATES[kind]
    x0 = tf.random.stateless_normal([8, WIDTH], [1, 2])
    way = tf.function(propagate, autograph=False) if in_graph else propagate
    logits = way(x0, gates, *network, 2).exit_logits
    expected = full_depth(x0, network) * tf.cast(gates > 0, tf.float32)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_row_is_computed_as_deep_as_its_deepest_gate_and_no_deeper(network):
    layers, estimators = network
    x0 = tf.random.stateless_normal([8, WIDTH], [1, 2])
    seen = []
    for layer in layers:
        layer_call = layer.call
        layer.call = lambda x0, x, k, c=layer_call, **modes: seen.append(x.shape[0]) or c(x0, x, k, **modes)
    try:
        way = propagate(x0, one_exit([1, 3, 2, 2, 1, 3, 3, 1]), layers, estimators, 2)
    finally:
        for layer in layers:
            del layer.call
    assert seen == [8, 5, 3]
    np.testing.assert_allclose(way.reached, [1.0, 5 / 8, 3 / 8])


def test_rows_that_exit_first_cost_no_flops_later(network):
    layers, estimators = network
    x0 = tf.random.stateless_normal([8, WIDTH], [1, 2])
    shallow = propagate(x0, GATES["all exit first"], layers, estimators, 2).flops
    first_layer = layers[0](x0, x0, k=2)[2] + 8 * estimators[0].flops()
    assert float(shallow) == float(first_layer)
    deep = propagate(x0, GATES["all exit last"], layers, estimators, 2).flops
    assert float(deep) > 2.5 * float(shallow)


def test_gradients_equal_the_dense_twin(network):
    x0 = tf.random.stateless_normal([8, WIDTH], [1, 2])
    gates = GATES["several exits a row"]
    variables = [v.value for layer in network[0] + network[1] for v in layer.trainable_variables]

    def gradients(form):
        with tf.GradientTape() as tape:
            tape.watch([x0, gates])
            loss = tf.reduce_sum(tf.reduce_sum(gates * form(), axis=1) ** 2)
        return tape.gradient(loss, [x0, *variables, gates])

    sparse = gradients(lambda: propagate(x0, gates, *network, 2).exit_logits)
    dense = gradients(lambda: full_depth(x0, network))
    kept = tf.cast(gates > 0, tf.float32)
    np.testing.assert_allclose(sparse.pop(), dense.pop() * kept, rtol=1e-3, atol=1e-4)
    for one, other in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_no_rows(network):
    way = propagate(tf.zeros([0, WIDTH]), tf.zeros([0, LAYERS]), *network, 2)
    assert way.exit_logits.shape == (0, LAYERS) and float(way.flops) == 0.0
    assert np.isfinite(way.reached).all()


@pytest.mark.parametrize("kind", GATES)
def test_summed_exits_add_up_the_estimators(kind, network):
    gates, x0 = GATES[kind], tf.random.stateless_normal([8, WIDTH], [1, 2])
    variables = [v.value for layer in network[1] for v in layer.trainable_variables]
    weights = tf.random.stateless_normal(gates.shape, [4, 4])
    with tf.GradientTape(persistent=True) as tape:
        way = propagate(x0, gates, *network, 2, summed=True)
        sparse = tf.reduce_sum(weights * way.exit_logits)
        expected = tf.cumsum(full_depth(x0, network), axis=1) * tf.cast(gates > 0, tf.float32)
        dense = tf.reduce_sum(weights * expected)
    np.testing.assert_allclose(way.exit_logits, expected, rtol=1e-4, atol=1e-5)
    gradients = (tape.gradient(loss, variables, unconnected_gradients="zero") for loss in (sparse, dense))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    # An estimator runs on each row that reaches its layer, not only on those that exit there.
    apart = propagate(x0, gates, *network, 2)
    exits = np.sum(gates > 0)
    more = float(way.flops - apart.flops) / network[1][0].flops()
    assert more == pytest.approx(8 * np.sum(way.reached) - exits, abs=0.02)
    assert propagate(x0[:0], gates[:0], *network, 2, summed=True).exit_logits.shape == (0, LAYERS)
