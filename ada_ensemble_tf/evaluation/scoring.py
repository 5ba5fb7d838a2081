"""Scores batches with a model in inference mode."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.distribution import Distribution
from ada_ensemble_tf.evaluation.metrics import all_metrics
from ada_ensemble_tf.models import CTRModel
from data_pipelines.read.inputs import Inputs


class Scored(NamedTuple):
    """Scored rows.

    Attributes:
        labels: `[N]`.
        probabilities: `[N]`.
        weights: `[N]`, None where rows have none.
        flops: mean FLOPs per example as routed.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray | None
    flops: float

    def metrics(self) -> dict[str, float]:
        """`metrics.all_metrics` of these rows."""
        return all_metrics(self.labels, self.probabilities, self.weights)


class Scorer:
    """Scores batches of rows. Traced once for all batch sizes, so keep it for as long as the model.

    Args:
        model: a `CTRModel`.
        distribution: the workers, if there are several. All of them call `score`, each with its part of every global
            batch.
    """

    def __init__(self, model: CTRModel, distribution: Distribution | None = None):
        self._model, self._distribution = model, distribution or Distribution()
        self._forward = self._distribution.of_rows(self._score, model.input_signature)

    def _score(self, inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        forward = self._model.forward(inputs, training=False)
        return tf.sigmoid(self._model.served_logit(forward)), forward.flops

    def __call__(self, inputs: Inputs) -> np.ndarray:
        """Click probabilities `[B]`, float32, for a batch of tensors or NumPy arrays."""
        typed = tf.nest.map_structure(lambda spec, x: tf.cast(x, spec.dtype), self._model.input_signature, inputs)
        return self._forward(typed)[0].numpy()

    def score(self, batches: Iterable[tuple[Any, ...]]) -> Scored:
        """Scores (inputs, labels) or (inputs, labels, weights) batches.

        N counts the rows of all workers, in the order of the file.
        """
        rows, flops = [], 0.0
        for inputs, labels, *weights in batches:
            probabilities, batch_flops = self._forward(inputs)
            self._distribution.doing("in an evaluation")
            rows.append(np.stack([x.numpy() for x in (labels, probabilities, *weights)], axis=1))
            flops += float(batch_flops)
        labels, probabilities, *found = np.ascontiguousarray(self._distribution.in_file_order(rows).T)
        mean_flops = float(self._distribution.total([flops])[0]) / len(labels)
        return Scored(labels, probabilities, found[0] if found else None, mean_flops)
