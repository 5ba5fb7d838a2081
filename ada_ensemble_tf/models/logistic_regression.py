"""Logistic regression, the first baseline."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LogisticRegression(CTRModel):
    """One weight per level and a bias (LR of AdaEnsemble, arXiv 2301.08353, table 1); McMahan et al., KDD 2013.

    The weights are a fused embedding of size 1, so the embedding optimiser trains them. The usual choice is
    FTRL-Proximal, which is `GroupFtrl` on rows of width 1.

    Args:
        **common: the arguments of all models, see `CTRModel`, except `l2` (there are no dense kernels) and those of
            initial embeddings (weights start at 0).

    Example:
        >>> model = LogisticRegression(num_rows=4, num_fields=2)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "logistic_regression"
    withheld = frozenset(("l2", "embedding_scale", "embedding_truncated"))

    def __init__(self, **common: Any):
        super().__init__(l2=0.0, **common)
        self.level_weights = self.make_embedding(dimension=1, name="level_weights", initial_scale=0.0, exact=True)
        start = keras.initializers.Constant(self.initial_logit)
        self.bias = self.add_weight(name="bias", shape=(), initializer=start, autocast=False)
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Sums the weights of the rows' levels; a float multiplies its weight, and several values take their mean."""
        weights = self.level_weights(inputs)
        logit = tf.reduce_sum(weights, axis=1) + self.bias
        flops = self.level_weights.rows_read(inputs)
        return Forward(logit=logit, flops=flops, tensors={"level weights": weights, "logit": logit})
