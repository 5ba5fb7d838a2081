"""Scoring batches with a model in inference mode."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf


class Scorer:
    """Scores batches of ids; traced once for all batch sizes, so keep it for as long as the model.

    Args:
        model: a `CTRModel`.
    """

    def __init__(self, model):
        ids = tf.TensorSpec([None, model.num_fields], tf.int32)
        self._forward = tf.function(self._score, input_signature=[ids])
        self._model = model

    def _score(self, ids):
        forward = self._model.forward(ids, training=False)
        return tf.sigmoid(forward.logit), forward.flops

    def __call__(self, ids: np.ndarray | tf.Tensor) -> np.ndarray:
        """Click probabilities `[B]` float32 of ids `[B, F]`."""
        return self._forward(tf.cast(ids, tf.int32))[0].numpy()

    def score(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> tuple[np.ndarray, np.ndarray, float]:
        """(labels `[N]`, probabilities `[N]`, mean FLOPs per example as routed) of (ids, labels) batches."""
        labels, probabilities, flops = [], [], 0.0
        for ids, batch_labels in batches:
            batch_probabilities, batch_flops = self._forward(ids)
            labels.append(batch_labels.numpy())
            probabilities.append(batch_probabilities.numpy())
            flops += float(batch_flops)
        labels = np.concatenate(labels)
        return labels, np.concatenate(probabilities), flops / len(labels)
