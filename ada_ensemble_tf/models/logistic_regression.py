"""Logistic regression, the first baseline."""

import keras
import tensorflow as tf

from ada_ensemble_tf.embedding import FusedEmbedding
from ada_ensemble_tf.models.base import CTRModel, Forward


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LogisticRegression(CTRModel):
    """A weight a level and a bias (LR of AdaEnsemble, arXiv 2301.08353, table 1); McMahan et al., KDD 2013.

    The weights are a fused embedding of size 1, so the embedding optimiser trains them; `GroupFtrl`, which on rows of
    width 1 is FTRL-Proximal, is the field's choice.

    Args:
        num_rows: V; `Schema.num_rows`.
        num_fields: F; `Schema.num_fields`.
        initial_logit: initial bias; the log-odds of the base rate is a good one.
    """

    def __init__(self, num_rows: int, num_fields: int, initial_logit: float = 0.0, name: str = "logistic_regression"):
        super().__init__(num_rows, num_fields, name=name)
        self.initial_logit = initial_logit
        self.level_weights = FusedEmbedding(num_rows, dimension=1, initial_scale=0.0, name="level_weights")
        self.level_weights.build((None, num_fields))
        self.bias = self.add_weight(name="bias", shape=(), initializer=keras.initializers.Constant(initial_logit))
        self.built = True

    def forward(self, ids, training=False) -> Forward:
        """Sums the weights of the levels in ids `[B, F]`."""
        weights = self.level_weights(ids)
        logit = tf.reduce_sum(weights, axis=1) + self.bias
        flops = tf.cast(tf.size(ids), tf.float32)
        return Forward(logit=logit, flops=flops, tensors={"level weights": weights, "logit": logit})

    def get_config(self):
        config = super().get_config() | {"initial_logit": self.initial_logit}
        del config["l2"]
        return config
