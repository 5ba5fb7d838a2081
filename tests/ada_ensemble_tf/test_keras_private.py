"""The private parts of Keras that this code uses exist and do what they are used for."""

import configparser
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.keras_private import OpenOptimizer, all_layers, random_states

TRIED = ("3.12", "3.13", "3.14", "3.15")
"""Versions with which the tests of this file, of optimisers and of models passed; setup.cfg allows no others."""


class Halving(OpenOptimizer):
    """Subtracts half of the learning rate times the gradient."""

    def exchanged(self, gradients):
        return [(gradient / 2.0, variable) for gradient, variable in super().exchanged(gradients)]

    def update_all(self, strategy, gradients, learning_rate):
        for gradient, variable in gradients:
            assert self.trains(variable) and not self.trains(keras.Variable(0.0))
            variable.assign_sub(learning_rate * gradient * (1.0 + self.index_of(variable)))


def test_this_version_was_tried():
    version = ".".join(keras.__version__.split(".")[:2])
    assert version in TRIED, f"run the tests with Keras {version}, then add it to TRIED and to the bound in setup.cfg"


def test_only_tried_versions_are_installed():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    (bound,) = (line for line in setup["options"]["install_requires"].splitlines() if line.startswith("keras "))
    first, last = TRIED[0], TRIED[-1]
    after = f"{last.split('.')[0]}.{int(last.split('.')[1]) + 1}"
    assert bound == f"keras >= {first}, < {after}"


def test_layers_and_random_states_at_any_depth():
    inner = keras.Sequential([keras.layers.Dropout(0.5, name="drop"), keras.layers.Dense(1, name="dense")])
    model = keras.Sequential([keras.layers.GaussianNoise(0.1, name="noise"), inner])
    model.build((None, 2))
    assert {"noise", "drop", "dense"} <= {layer.name for layer in all_layers(model)}
    assert all_layers(model)[0] is model
    states = random_states(model)
    assert len(states) == 2
    before = [state.numpy() for state in states]
    model(tf.ones([1, 2]), training=True)
    assert all((state.numpy() != old).any() for state, old in zip(states, before, strict=True))


def test_keras_calls_what_the_optimiser_defines():
    optimizer = Halving(learning_rate=0.5, name="halving", clipnorm=1e-6)
    variables = [keras.Variable(1.0), keras.Variable([1.0, 2.0])]
    optimizer.build(variables)
    optimizer.apply([tf.constant(4.0), tf.constant([2.0, 0.0])])
    # 1 - 0.5 * 4 / 2 and 1 - 0.5 * 2 / 2 * 2; Keras' own clipping would have left next to nothing.
    np.testing.assert_allclose(variables[0].numpy(), 0.0)
    np.testing.assert_allclose(variables[1].numpy(), [0.0, 2.0])
    assert int(optimizer.iterations.numpy()) == 1 and optimizer.strategy is tf.distribute.get_strategy()
