"""Models whose variables form three groups, each with its own optimiser."""

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from data_pipelines.read.inputs import Inputs

OPTIMIZERS = ("embedding_optimizer", "weight_optimizer", "gate_optimizer")

Logs: TypeAlias = dict[str, tf.Tensor]


class GroupedModel(keras.Model):
    """A model whose embedding tables, gates and other weights each have an optimiser.

    Subclasses give the three lists of variables and `forward`. Their `compile` sets `embedding_optimizer`,
    `weight_optimizer`, `gate_optimizer` (None without gates) and `xi`, and calls `make_metrics`.
    """

    embedding_optimizer: keras.optimizers.Optimizer
    weight_optimizer: keras.optimizers.Optimizer
    gate_optimizer: keras.optimizers.Optimizer | None
    xi: float

    def groups(self) -> dict[str, tuple[keras.optimizers.Optimizer, list[keras.Variable]]]:
        """(optimiser, variables) of each group that has variables."""
        groups = {
            "embedding": (self.embedding_optimizer, self.embedding_variables),
            "weight": (self.weight_optimizer, self.weight_variables),
            "gate": (self.gate_optimizer, self.gate_variables),
        }
        return {name: group for name, group in groups.items() if group[1]}

    @property
    def optimizer_variables(self) -> list[keras.Variable]:
        """All state of the optimisers."""
        return [v for optimizer, _ in self.groups().values() for v in optimizer.variables]

    def get_compile_config(self):
        """The optimisers and xi, stored in `.keras` files; None before `compile`."""
        if not self.compiled:
            return None
        return {"xi": self.xi} | {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in OPTIMIZERS if getattr(self, name)
        }

    def make_metrics(self) -> None:
        """Makes the metrics that `evaluate` updates."""
        self._auc = keras.metrics.AUC(num_thresholds=10_000, name="auc")
        self._log_loss = keras.metrics.Mean(name="log_loss")

    @property
    def metrics(self):
        """The metrics `evaluate` reports; `ada_ensemble_tf.evaluation.metrics` has exact ones over whole splits."""
        return [self._auc, self._log_loss] if hasattr(self, "_auc") else []

    def test_step(self, data: tuple[Inputs, tf.Tensor]) -> Logs:
        """Updates the metrics with (inputs, labels)."""
        inputs, labels = data
        forward = self.forward(inputs, training=False)
        self._log_loss.update_state(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=forward.logit))
        self._auc.update_state(labels, tf.sigmoid(forward.logit))
        return {metric.name: metric.result() for metric in self.metrics}

    def predict_step(self, data: Any) -> tf.Tensor:
        """Click probabilities `[B]` for inputs or (inputs, labels)."""
        inputs = data[0] if isinstance(data, tuple) else data
        return self(inputs, training=False)
