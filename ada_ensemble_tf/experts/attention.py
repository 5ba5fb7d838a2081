"""The multi-head self-attention expert."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import Activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class AttentionExpert(Expert):
    """Multi-head self-attention over the F tokens of size D, normalised over the tokens, flattened, Dense to M.

    AdaEnsemble (arXiv 2301.08353), equation 4. What the paper leaves open is as in its original release: an activation
    of queries, keys, values and the output projection, instance normalisation (each of the inner elements over a row's
    F tokens), and a linear last Dense.

    Args:
        num_fields: F.
        inner_size: width of queries, keys and values over all heads.
        heads: number of heads.
        activation: a Keras activation, of queries, keys, values and output projection.

    Raises:
        ValueError: if the heads do not divide `inner_size`.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = AttentionExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        1824
    """

    def __init__(
        self,
        num_fields: Count,
        inner_size: Count = 8,
        heads: Count = 4,
        activation: Activation = "gelu",
        **kwargs: Any,
    ):
        super().__init__(num_fields, **kwargs)
        if inner_size % heads:
            raise ArgumentError("heads", f"divide inner_size={inner_size}", heads)
        self.inner_size = inner_size
        self.heads = heads
        self.activation = activation

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        tokens = (None, self.num_fields, self.dimension)
        inner = (None, self.num_fields, self.inner_size)
        # One product gives queries, keys and values.
        self.query_key_value = Dense(3 * self.inner_size, activation=self.activation, name="query_key_value")
        self.query_key_value.build(tokens)
        self.mix = Dense(self.inner_size, activation=self.activation, name="mix")
        self.mix.build(inner)
        # As many groups as elements: instance normalisation.
        self.normalize_fields = keras.layers.GroupNormalization(groups=-1, epsilon=1e-3, name="normalize_fields")
        self.normalize_fields.build(inner)
        self.project = Dense(self.width, name="project")
        self.project.build((None, self.num_fields * self.inner_size))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        head_size = self.inner_size // self.heads
        tokens = tf.reshape(x, [-1, self.num_fields, self.dimension])
        split = tf.reshape(self.query_key_value(tokens), [-1, self.num_fields, 3, self.heads, head_size])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
        # Dividing the queries is cheaper than dividing the scores: there are F / head_size times as many scores, and
        # bfloat16 divides slowly.
        scores = tf.nn.softmax(tf.matmul(query / head_size**0.5, key, transpose_b=True))
        attended = tf.transpose(tf.matmul(scores, value), [0, 2, 1, 3])
        mixed = self.mix(tf.reshape(attended, [-1, self.num_fields, self.inner_size]))
        return self.project(tf.reshape(self.normalize_fields(mixed), [-1, self.num_fields * self.inner_size]))

    def flops(self) -> int:
        """Per row: the projections, scores and weighted sums of all heads, and the last Dense."""
        fields, inner = self.num_fields, self.inner_size
        projections = fields * inner * (3 * self.dimension + inner)
        return 2 * (projections + 2 * fields * fields * inner + fields * inner * self.width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "inner_size": self.inner_size,
            "heads": self.heads,
            "activation": self.activation,
        }
