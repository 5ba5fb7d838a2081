"""The factorisation machine and its pairwise term."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


def pairwise_term(x0: tf.Tensor, num_fields: int) -> tf.Tensor:
    """The sum over pairs of fields i < j of <v_i, v_j>, in time linear in F.

    Rendle (ICDM 2010), lemma 3.1: 1/2 sum_d ((sum_i v_id)^2 - sum_i v_id^2).

    Args:
        x0: `[B, F * D]`; a field's float is already multiplied into its v.
        num_fields: F.

    Returns:
        `[B]` float32.
    """
    # The difference of two sums that nearly cancel needs float32.
    v = tf.reshape(tf.cast(x0, tf.float32), [-1, num_fields, x0.shape[1] // num_fields])
    square_of_sum = tf.square(tf.reduce_sum(v, axis=1))
    sum_of_squares = tf.reduce_sum(tf.square(v), axis=1)
    return 0.5 * tf.reduce_sum(square_of_sum - sum_of_squares, axis=1)


def pairwise_flops(num_fields: int, dimension: int) -> int:
    """Per row of `pairwise_term`: F D sums, F D squares summed, and for each of D a square, a difference, a sum."""
    return 3 * num_fields * dimension + 3 * dimension


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class FactorizationMachine(CTRModel):
    """b + sum_i w_i + sum_{i<j} <v_i, v_j> over the fields of a row.

    Rendle, "Factorization Machines", ICDM 2010, equation 1; FM of AdaEnsemble (arXiv 2301.08353), table 1. The linear
    weights w have their own table of size 1. A field with several values has the mean of their w and the mean of their
    v.

    Args:
        dimension: D, the length of the factors v.
        **common: the arguments of all models except `l2`, see `CTRModel`; there are no dense kernels.

    Example:
        >>> model = FactorizationMachine(num_rows=4, num_fields=2, dimension=2)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "factorization_machine"
    withheld = frozenset(("l2",))

    def __init__(self, *, dimension: Count = 16, **common: Any):
        super().__init__(l2=0.0, **common)
        self.dimension = dimension
        self.level_weights = self.make_embedding(dimension=1, name="level_weights", initial_scale=0.0, exact=True)
        self.embedding = self.make_embedding(dimension, "embedding", exact=True)
        start = keras.initializers.Constant(self.initial_logit)
        self.bias = self.add_weight(name="bias", shape=(), initializer=start, autocast=False)
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Sums the weights of the rows' levels and the products of their factors."""
        weights = self.level_weights(inputs)
        x0 = self.embedding(inputs)
        pairwise = pairwise_term(x0, self.num_fields)
        logit = tf.reduce_sum(tf.cast(weights, tf.float32), axis=1) + pairwise + self.bias
        rows = tf.cast(tf.shape(x0)[0], tf.float32)
        return Forward(
            logit=logit,
            flops=self.level_weights.rows_read(inputs) + rows * pairwise_flops(self.num_fields, self.dimension),
            tensors={
                "level weights": weights,
                "embedding output x0": x0,
                "pairwise term": pairwise,
                "logit": logit,
            },
        )
