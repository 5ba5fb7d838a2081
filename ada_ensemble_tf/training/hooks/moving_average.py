"""Evaluates and keeps the moving average of the weights."""

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from ada_ensemble_tf.optimizers.averages import average_of
from ada_ensemble_tf.training.hooks.base import Hook, Stop

if TYPE_CHECKING:
    from ada_ensemble_tf.training.loop import TrainingLoop


class MovingAverage(Hook):
    """At each stop, puts the optimisers' moving averages of the weights into the model, to be evaluated and kept.

    Training goes on from its own weights. Statistics of normalisation are moving averages anyway and stay. It must come
    before the evaluation.

    Args:
        on: whether the optimisers keep averages; otherwise this hook does nothing.
    """

    def __init__(self, on: bool):
        self._on = on

    def begin(self, loop: "TrainingLoop") -> None:
        self._model = loop.model

    def at_stop(self, stop: Stop) -> None:
        if not self._on:
            return
        averaged = [
            (variable, average_of(optimizer, variable))
            for optimizer, variables in self._model.groups().values()
            for variable in variables
        ]
        own = [(variable, tf.identity(tf.convert_to_tensor(variable))) for variable, _ in averaged]
        _assign(averaged)
        stop.put_back = lambda: _assign(own)


def _assign(values: list[tuple[keras.Variable, tf.Tensor]]) -> None:
    for variable, value in values:
        variable.assign(value)
