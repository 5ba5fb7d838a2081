"""Scoring batches with a model in inference mode."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.layers.embedding import Inputs


class Scorer:
    """Scores batches of rows; traced once for all batch sizes, so keep it for as long as the model.

    Args:
        model: a `CTRModel`.
    """

    def __init__(self, model):
        self._forward = tf.function(self._score, input_signature=[model.input_signature])
        self._model = model

    def _score(self, inputs):
        forward = self._model.forward(inputs, training=False)
        return tf.sigmoid(forward.logit), forward.flops

    def __call__(self, inputs: Inputs) -> np.ndarray:
        """Click probabilities `[B]` float32 of a batch of tensors or NumPy arrays."""
        typed = tf.nest.map_structure(lambda spec, x: tf.cast(x, spec.dtype), self._model.input_signature, inputs)
        return self._forward(typed)[0].numpy()

    def score(self, batches: Iterable[tuple[Inputs, tf.Tensor]]) -> tuple[np.ndarray, np.ndarray, float]:
        """(labels `[N]`, probabilities `[N]`, mean FLOPs per example as routed) of (inputs, labels) batches."""
        labels, probabilities, flops = [], [], 0.0
        for inputs, batch_labels in batches:
            batch_probabilities, batch_flops = self._forward(inputs)
            labels.append(batch_labels.numpy())
            probabilities.append(batch_probabilities.numpy())
            flops += float(batch_flops)
        labels = np.concatenate(labels)
        return labels, np.concatenate(probabilities), flops / len(labels)
