"""Models whose variables form three groups, each with its own optimiser."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from ada_ensemble_tf.updates.labels import click_labels, row_weights

_REPORTED = ("loss", "auc", "log_loss")
_METRICS = {"acc": "binary_accuracy", "accuracy": "binary_accuracy"}
"""Keras' `compile` reads these names by the shape of the labels."""
OPTIMIZERS = ("embedding_optimizer", "weight_optimizer", "gate_optimizer")

Logs: TypeAlias = dict[str, tf.Tensor]


class GroupedModel(keras.Model):
    """A model whose embedding tables, gates and other weights each have an optimiser.

    Subclasses give the three lists of variables and `forward`. Their `compile` sets `embedding_optimizer`,
    `weight_optimizer`, `gate_optimizer` (None without gates), `xi` and `gate_weights`, and calls `make_metrics`.
    """

    embedding_optimizer: keras.optimizers.Optimizer
    weight_optimizer: keras.optimizers.Optimizer
    gate_optimizer: keras.optimizers.Optimizer | None
    xi: float
    gate_weights: str
    logit_shift: float = 0.0
    """Added to logits outside of training, see `CTRModel`."""

    def corrected(self, logits: tf.Tensor) -> tf.Tensor:
        """Logits of `forward` as they hold for all rows, where training saw a share of the negatives."""
        return logits + self.logit_shift if self.logit_shift else logits

    def _corrected(self, forward: Any) -> Any:
        """A result of `forward` with corrected logits."""
        if not self.logit_shift:
            return forward
        exits = forward.exit_logits
        return dataclasses.replace(
            forward,
            logit=self.corrected(forward.logit),
            exit_logits=None if exits is None else self.corrected(exits),
        )

    def groups(self) -> dict[str, tuple[keras.optimizers.Optimizer, list[keras.Variable]]]:
        """(optimiser, variables) of each group that has variables."""
        groups = {
            "embedding": (self.embedding_optimizer, self.embedding_variables),
            "weight": (self.weight_optimizer, self.weight_variables),
            "gate": (self.gate_optimizer, self.gate_variables),
        }
        return {name: group for name, group in groups.items() if group[1]}

    def bring_up_to_date(self) -> None:
        """Makes the updates that optimisers deferred for rows that were not in recent batches, see `RowSparseAdam`."""
        for optimizer, variables in self.groups().values():
            if hasattr(optimizer, "bring_up_to_date"):
                for variable in variables:
                    optimizer.bring_up_to_date(variable)

    def served_logit(self, forward: Any) -> tf.Tensor:
        """The logit `[B]` whose sigmoid is the prediction."""
        return forward.logit

    @property
    def optimizer_variables(self) -> list[keras.Variable]:
        """All state of the optimisers."""
        return [v for optimizer, _ in self.groups().values() for v in optimizer.variables]

    def get_compile_config(self):
        """The optimisers, xi and `gate_weights`, stored in `.keras` files; None before `compile`."""
        if not self.compiled:
            return None
        return {
            "xi": self.xi,
            "gate_weights": self.gate_weights,
            "metrics": [keras.saving.serialize_keras_object(metric) for metric in self._own_metrics],
        } | {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in OPTIMIZERS if getattr(self, name)
        }

    def make_metrics(self, metrics: Sequence[str | keras.metrics.Metric] = ()) -> None:
        """Makes the metrics that `evaluate` updates.

        Args:
            metrics: what to report besides loss, AUC and LogLoss, as Keras' metrics of probabilities or their names.
        """
        self._objective = keras.metrics.Mean(name="loss")
        self._auc = keras.metrics.AUC(num_thresholds=10_000, name="auc")
        self._log_loss = keras.metrics.Mean(name="log_loss")
        own = [_metric(metric) for metric in metrics if str(metric).lower() not in _REPORTED]
        if known := [metric.name for metric in own if metric.name in _REPORTED]:
            raise ValueError(f"metrics={known}: evaluate reports them anyway; leave them out or give them another name")
        self._own_metrics = own

    @property
    def metrics(self):
        """The metrics `evaluate` reports; `ada_ensemble_tf.evaluation.metrics` has exact ones over whole splits."""
        return [self._objective, self._auc, self._log_loss, *self._own_metrics] if hasattr(self, "_auc") else []

    def test_step(self, data: Any) -> Logs:
        """Updates the metrics with (inputs, labels) or (inputs, labels, weights)."""
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        labels, weights = click_labels(labels), None if weights is None else row_weights(weights)
        forward = self.forward(inputs, training=False)
        logit = self.served_logit(forward)
        probabilities = tf.sigmoid(logit)
        loss = tf.add_n(list(self.objective(self._corrected(forward), labels, weights).values()))
        size = tf.cast(tf.shape(labels)[0], tf.float32) if weights is None else tf.reduce_sum(weights)
        self._objective.update_state(loss, sample_weight=size)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logit)
        self._log_loss.update_state(losses, sample_weight=weights)
        self._auc.update_state(labels, probabilities, sample_weight=weights)
        for metric in self._own_metrics:
            metric.update_state(labels[:, None], probabilities[:, None], sample_weight=weights)
        return {metric.name: metric.result() for metric in self.metrics}

    def predict_step(self, data: Any) -> tf.Tensor:
        """Click probabilities `[B]` for inputs, (inputs, labels) or (inputs, labels, weights)."""
        inputs = data[0] if isinstance(data, tuple) else data
        return self(inputs, training=False)


def _metric(metric: str | keras.metrics.Metric) -> keras.metrics.Metric:
    """A metric by its name, or as it is."""
    found = keras.metrics.get(_METRICS.get(metric, metric) if isinstance(metric, str) else metric)
    return found() if isinstance(found, type) else found
