"""Logistic regression, the first baseline."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.models.base import CTRModel, Forward


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LogisticRegression(CTRModel):
    """A weight a level and a bias (LR of AdaEnsemble, arXiv 2301.08353, table 1); McMahan et al., KDD 2013.

    The weights are a fused embedding of size 1, so the embedding optimiser trains them; `GroupFtrl`, which on rows of
    width 1 is FTRL-Proximal, is the field's choice.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        initial_logit: initial bias; the log-odds of the base rate is a good one.
    """

    def __init__(
        self,
        num_rows: int,
        num_fields: int,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        initial_logit: float = 0.0,
        name: str = "logistic_regression",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, name=name)
        self.initial_logit = initial_logit
        self.level_weights = self.make_embedding(dimension=1, name="level_weights", initial_scale=0.0, exact=True)
        start = keras.initializers.Constant(initial_logit)
        self.bias = self.add_weight(name="bias", shape=(), initializer=start, autocast=False)
        self.built = True

    def forward(self, inputs, training=False) -> Forward:
        """Sums the weights of the rows' levels; a float multiplies its weight, several values have their mean."""
        weights = self.level_weights(inputs)
        logit = tf.reduce_sum(weights, axis=1) + self.bias
        flops = self.level_weights.rows_read(inputs)
        return Forward(logit=logit, flops=flops, tensors={"level weights": weights, "logit": logit})

    def get_config(self):
        config = super().get_config() | {"initial_logit": self.initial_logit}
        del config["l2"]
        return config
