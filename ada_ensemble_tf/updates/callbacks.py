"""Keras callbacks that know a model's three groups of variables."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from ada_ensemble_tf.updates.stages import learning_rate, set_learning_rate


class ScaleLearningRates(keras.callbacks.Callback):
    """Multiplies the learning rates of all three optimisers by a factor at the start of each epoch of `fit`.

    Keras' own callbacks reach `model.optimizer` only, which is the weight optimiser.

    Args:
        factor: by epoch, which counts from 0; the factor of the rates at the start of training.

    Example:
        >>> halving = ScaleLearningRates(lambda epoch: 0.5**epoch)
        >>> halving.factor(2)
        0.25
    """

    def __init__(self, factor: Callable[[int], float]):
        super().__init__()
        self.factor = factor
        self._rates: dict[str, float] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the rates."""
        self._rates = {name: learning_rate(optimizer) for name, (optimizer, _) in self.model.groups().items()}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Sets the rates."""
        for name, (optimizer, _) in self.model.groups().items():
            set_learning_rate(optimizer, self._rates[name] * self.factor(epoch))
