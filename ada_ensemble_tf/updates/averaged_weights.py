"""Gate updates on the moving averages of the weights, by which a model is evaluated and served."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from ada_ensemble_tf.keras_private import random_states
from ada_ensemble_tf.optimizers.averages import average_of
from ada_ensemble_tf.updates.grouped import GroupedModel


@contextmanager
def averaged_weights(model: GroupedModel) -> Iterator[None]:
    """Within it, the model reads the averages of its tables and other weights; its gates are as they are.

    Nothing is assigned: the weights are the same afterwards, and random numbers go on. Before the first weight update
    there is no average, and the model reads its weights. It costs a pass over the tables.
    """
    averages = [
        (variable, _average(optimizer, variable))
        for name, (optimizer, variables) in model.groups().items()
        for variable in variables
        if name != "gate"
    ]
    states = random_states(model)
    with keras.StatelessScope(averages) as scope:
        yield
    # What was assigned within the scope is lost with it, and each update would draw the same noise.
    for state in states:
        if (value := scope.get_current_value(state)) is not None:
            state.assign(value)


def _average(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> tf.Tensor:
    return tf.where(optimizer.iterations > 0, average_of(optimizer, variable), tf.convert_to_tensor(variable))
