"""The names that are no part of Keras' public interface and that this code needs, all of them.

`tests/ada_ensemble_tf/test_keras_private.py` says which versions of Keras they were tried with; setup.cfg admits those.
"""

from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf
from keras.src.backend.common.global_state import set_global_attribute

GradientsAndVariables: TypeAlias = Sequence[tuple[tf.Tensor | tf.IndexedSlices, tf.Variable]]


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """A model and all layers within it, at any depth."""
    return list(model._flatten_layers())


def random_states(model: keras.Model) -> list[keras.Variable]:
    """The states of all seed generators within a model."""
    return [generator.state for layer in all_layers(model) for generator in layer._seed_generators]


def is_scheduled(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimiser's learning rate changes with its steps."""
    return isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)


def moving_average(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> tf.Tensor:
    """The moving average that one of Keras' optimisers with `use_ema` keeps of a variable."""
    average = optimizer._model_variables_moving_average[optimizer._get_variable_index(variable)]
    return tf.convert_to_tensor(average)


def replace_value(variable: keras.Variable, value: tf.Variable) -> None:
    """Puts another TensorFlow variable, of any shape, under a Keras variable, whose own shape stays."""
    variable._value = value


def forget_unmade_variables() -> None:
    """Forgets the variables that were declared in a `keras.StatelessScope` and have no values.

    The next scope would give them values when it ends, which takes memory.
    """
    set_global_attribute("uninitialized_variables", [])


class ClippedSum(keras.optimizers.Optimizer):
    """An optimiser that clips the sum over all replicas. Keras' own clip each replica's part of it."""

    def clipped(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        """The gradients as they are to be applied, from their sums over the replicas."""
        raise NotImplementedError(f"{type(self).__name__} must define clipped")

    def summed(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        """The sums over the replicas of this replica's gradients."""
        return super()._all_reduce_sum_gradients(gradients)

    def variable_of(self, value: tf.Variable) -> keras.Variable:
        """The Keras variable of a variable that the optimiser trains."""
        return self._trainable_variables[self._get_variable_index(value)]

    def _all_reduce_sum_gradients(self, grads_and_vars: GradientsAndVariables) -> GradientsAndVariables:
        return self.clipped(self.summed(grads_and_vars))

    def _clip_gradients(self, grads: Sequence[tf.Tensor | tf.IndexedSlices]) -> Sequence[tf.Tensor | tf.IndexedSlices]:
        return grads


class OpenOptimizer(keras.optimizers.Optimizer):
    """An optimiser whose exchange of gradients, clipping and update are for subclasses to define, by public names.

    Under any `tf.distribute` strategy, that of one device included, Keras' `apply` clips, exchanges and updates.
    """

    def exchanged(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        """The gradients as they are to be applied, from this replica's; Keras' sum over the replicas by default."""
        return super()._all_reduce_sum_gradients(gradients)

    def update_all(
        self, strategy: tf.distribute.Strategy, gradients: GradientsAndVariables, learning_rate: tf.Tensor
    ) -> None:
        """Updates all variables, on all replicas."""
        raise NotImplementedError(f"{type(self).__name__} must define update_all")

    def index_of(self, variable: keras.Variable | tf.Variable) -> int:
        """The place of a variable among those that the optimiser was built for."""
        return self._get_variable_index(variable)

    def variable_of(self, value: tf.Variable) -> keras.Variable:
        """The Keras variable of a variable that the optimiser trains."""
        return self._trainable_variables[self._get_variable_index(value)]

    def trains(self, variable: keras.Variable | tf.Variable) -> bool:
        """Whether the optimiser was built for a variable."""
        return self._var_key(variable) in self._trainable_variables_indices

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The strategy under which the optimiser was made."""
        return self._distribution_strategy

    def _all_reduce_sum_gradients(self, grads_and_vars: GradientsAndVariables) -> GradientsAndVariables:
        return self.exchanged(grads_and_vars)

    def _distributed_tf_update_step(
        self, distribution: tf.distribute.Strategy, grads_and_vars: GradientsAndVariables, learning_rate: tf.Tensor
    ) -> None:
        self.update_all(distribution, grads_and_vars, learning_rate)

    def _clip_gradients(self, grads: Sequence[tf.Tensor | tf.IndexedSlices]) -> Sequence[tf.Tensor | tf.IndexedSlices]:
        # `exchanged` may clip, which sees the sum over all replicas.
        return grads
