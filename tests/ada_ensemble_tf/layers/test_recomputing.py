import keras
import numpy as np
import pytest
import tensorflow as tf

from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.recomputing import recomputed

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


class Counted(keras.layers.Layer):
    """An MLP with batch statistics and dropout that counts its runs, and gives a pair beside what is no tensor."""

    def __init__(self):
        super().__init__()
        self.mlp = MLP([5, 4], "tanh", "batch", dropout=0.4)
        self.runs = self.add_weight(name="runs", shape=(), initializer="zeros", trainable=False)
        self.traced = 0
        self.noise = []

    def build(self, x_shape, scale_shape=None):
        self.mlp.build(x_shape)

    def call(self, x, scale=None, training=False):
        self.traced += 1
        self.runs.assign_add(1.0)
        y = self.mlp(x, training=training)
        self.noise.append(tf.cast(y == 0.0, tf.int32))
        return (y if scale is None else y * scale), {"count": tf.shape(x)[0], "nothing": None}


def layer_and_copy() -> list[Counted]:
    layers = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        layers.append(Counted())
        layers[-1].build((None, 3))
    return layers


def loss_and_gradients(run, layer, scale):
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, report = run(x, scale, training=True)
        assert report["nothing"] is None
        loss = tf.reduce_sum(y**3) + tf.cast(report["count"], tf.float32)
    return loss, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])


@pytest.mark.parametrize("graph, scale", [(False, 1.5), (True, None)], ids=["eager", "graph"])
def test_outputs_gradients_and_state_are_those_of_the_layer(graph, scale):
    plain, kept_little = layer_and_copy()
    scale = None if scale is None else tf.constant(scale)
    found = []
    for layer, run in ((plain, plain), (kept_little, recomputed(kept_little))):

        def step(layer=layer, run=run):
            return loss_and_gradients(run, layer, scale)

        step = tf.function(step, autograph=False) if graph else step
        # Three steps, so that seeds and statistics go on from one another.
        found.append([[np.asarray(part) for part in step()] for _ in range(3)])
    for expected, given in zip(*found, strict=True):
        for one, other in zip(expected, given, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)
    assert kept_little.traced == 2 * plain.traced
    assert float(kept_little.runs.numpy()) == 3.0
    for one, other in zip(plain.variables, kept_little.variables, strict=True):
        np.testing.assert_array_equal(other, one, err_msg=one.path)
    _, untouched = layer_and_copy()
    moved = [np.any(v.numpy() != new.numpy()) for v, new in zip(plain.variables, untouched.variables, strict=True)]
    # The counter, two means, two variances and the seed of dropout; nothing was trained.
    assert sum(moved) == 6


def test_the_second_run_draws_the_noise_of_the_first():
    _, layer = layer_and_copy()
    loss_and_gradients(recomputed(layer), layer, None)
    first, second = layer.noise
    assert 0 < np.sum(first) < first.shape.num_elements()
    np.testing.assert_array_equal(first, second)


def test_one_row_is_normalised_by_the_statistics_before_the_step():
    # A batch of one row takes the moving statistics, which the first run must not have changed for the second.
    layers = layer_and_copy()
    gradients = []
    for layer, run in zip(layers, (layers[0], recomputed(layers[1])), strict=True):
        for statistic in layer.non_trainable_variables:
            if "moving" in statistic.path:
                statistic.assign(statistic + 0.5)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(run(tf.constant(X[:1]), training=True)[0] ** 3)
        gradients.append(tape.gradient(loss, [v.value for v in layer.trainable_variables]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)


def kept_for_the_backward_pass(wrap) -> set[str]:
    """The batches computed in the forward pass that operations of the backward pass read, by kind of operation."""
    _, layer = layer_and_copy()
    kept = []

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            y, _ = wrap(layer)(x, training=True)
            loss = tf.reduce_sum(y)
        forward = set(tf.compat.v1.get_default_graph().get_operations())
        gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
        for operation in tf.compat.v1.get_default_graph().get_operations():
            if operation not in forward:
                kept.extend(x.op.type for x in operation.inputs if x.op in forward and x.shape[:1] == [len(X)])
        return gradients

    step.get_concrete_function(tf.TensorSpec(X.shape))
    return set(kept)


def test_the_backward_pass_reads_the_inputs_alone():
    assert {"Tanh", "BiasAdd"} <= kept_for_the_backward_pass(lambda layer: layer)
    assert kept_for_the_backward_pass(recomputed) <= {"Placeholder", "IdentityN"}
