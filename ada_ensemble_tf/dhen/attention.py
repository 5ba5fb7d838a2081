"""The self-attention interaction module."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.dhen.list_projection import ListProjection
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import upcast


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class AttentionModule(InteractionModule):
    """u = W TransformerEncoderLayer(X) with the m embeddings as tokens (DHEN, arXiv 2203.11014, equation 4).

    The encoder layer is that of arXiv 1706.03762, section 3.1: H = Norm(X + MultiHead(X)), Norm(H + FFN(H)), with a
    ReLU inside the FFN. It has no position encodings: each field already has embeddings of its own.

    Args:
        num_outputs: l.
        heads: number of heads, each of size D / heads.
        expansion: how many times wider the FFN's inner layer is than D.

    Raises:
        ValueError: for arguments out of range, and if the heads do not divide D.

    Example:
        >>> AttentionModule(num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """

    def __init__(self, num_outputs: int, heads: int = 2, expansion: int = 4, **kwargs: Any):
        super().__init__(num_outputs, **kwargs)
        if heads < 1 or expansion < 1:
            raise ValueError(
                f"heads and expansion must be at least 1; received heads={heads} and expansion={expansion}"
            )
        self.heads = heads
        self.expansion = expansion

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        size, shape = self.dimension, (None, self.num_inputs, self.dimension)
        if size % self.heads:
            raise ValueError(f"heads must divide the embedding size D; received heads={self.heads} and D={size}")
        # One product gives queries, keys and values.
        self.query_key_value = Dense(3 * size, name="query_key_value")
        self.query_key_value.build(shape)
        self.mix = Dense(size, name="mix")
        self.mix.build(shape)
        self.normalize_attended = keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_attended")
        self.normalize_attended.build(shape)
        self.expand = Dense(self.expansion * size, activation="relu", name="expand")
        self.expand.build(shape)
        self.contract = Dense(size, name="contract")
        self.contract.build((None, self.num_inputs, self.expansion * size))
        self.normalize_encoded = keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_encoded")
        self.normalize_encoded.build(shape)
        self.project = ListProjection(self.num_outputs, name="project")
        self.project.build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        attended = self.normalize_attended(upcast(x) + upcast(self._attend(x)))
        encoded = self.normalize_encoded(upcast(attended) + upcast(self.contract(self.expand(attended))))
        return self.project(encoded)

    def _attend(self, x: tf.Tensor) -> tf.Tensor:
        """MultiHead(x, x, x): `[B, m, D]`."""
        head_size = self.dimension // self.heads
        split = tf.reshape(self.query_key_value(x), [-1, self.num_inputs, 3, self.heads, head_size])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
        # Dividing the queries is cheaper: there are more scores, and bfloat16 divides slowly.
        shares = tf.nn.softmax(tf.matmul(query / head_size**0.5, key, transpose_b=True))
        attended = tf.transpose(tf.matmul(shares, value), [0, 2, 1, 3])
        return self.mix(tf.reshape(attended, [-1, self.num_inputs, self.dimension]))

    def flops(self) -> int:
        """Per row: the projections of all heads, their scores and weighted sums, the FFN, and W."""
        tokens, size = self.num_inputs, self.dimension
        projections = (4 + 2 * self.expansion) * tokens * size * size
        return 2 * (projections + 2 * tokens * tokens * size) + self.project.flops()

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"heads": self.heads, "expansion": self.expansion}
