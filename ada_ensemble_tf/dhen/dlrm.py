"""The AdvancedDLRM interaction module."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.dhen.list_projection import ListProjection
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.mlp import MLP


def with_products(x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """[X flattened, <Z_i, Z_j> for i < j]: `[B, m * D + c (c - 1) / 2]` of lists `[B, m, D]` and `[B, c, D]`.

    Example:
        >>> x = tf.constant([[[1.0, 2.0], [3.0, 4.0]]])
        >>> with_products(x, x).numpy()
        array([[ 1.,  2.,  3.,  4., 11.]], dtype=float32)
    """
    count = z.shape[1]
    # Indices of the strict upper triangle in the flattened matrix of products.
    pairs = np.flatnonzero(np.triu(np.ones([count, count]), k=1))
    products = tf.reshape(tf.matmul(z, z, transpose_b=True), [-1, count**2])
    return tf.concat([tf.reshape(x, [-1, x.shape[1] * x.shape[2]]), tf.gather(products, pairs, axis=1)], axis=1)


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DLRMModule(InteractionModule):
    """u = W_m MLP([X flattened, <Z_i, Z_j> for i < j]) + b, where Z is X or a compression of it.

    DHEN (arXiv 2203.11014), equation 3, does not say what its AdvancedDLRM is. This is the interaction of DLRM (arXiv
    1906.00091): the dot products of all pairs beside the embeddings, and an MLP over both. With m embeddings there are
    m (m - 1) / 2 products; a learnt projection of the list to fewer embeddings, Z, limits their number.

    Args:
        num_outputs: l.
        hidden_units: sizes of the MLP's layers.
        compressed: number of embeddings in Z; 0 means Z = X.
        activation: the MLP's Keras activation.

    Raises:
        ValueError: for arguments out of range.

    Example:
        >>> DLRMModule(num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """

    def __init__(
        self,
        num_outputs: int,
        hidden_units: Sequence[int] = (256,),
        compressed: int = 0,
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(num_outputs, **kwargs)
        if compressed < 0 or compressed == 1:
            raise ValueError(f"compressed must be at least 2, or 0 for no compression; received {compressed}")
        self.compressed = compressed
        self.mlp = MLP(hidden_units, activation, name="mlp")

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        self.compress = None
        if self.compressed:
            self.compress = ListProjection(self.compressed, name="compress")
            self.compress.build(x_shape)
        self.count = self.compressed or self.num_inputs
        self.mlp.build((None, self.num_inputs * self.dimension + self.count * (self.count - 1) // 2))
        self.project = Dense(self.num_outputs * self.dimension, name="project")
        self.project.build((None, self.mlp.hidden_units[-1]))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        z = x if self.compress is None else self.compress(x)
        hidden = self.mlp(with_products(x, z))
        return tf.reshape(self.project(hidden), [-1, self.num_outputs, self.dimension])

    def flops(self) -> int:
        """Per row: the compression, all products, since all are computed, the MLP and the last product."""
        compress = self.compress.flops() if self.compress is not None else 0
        products = 2 * self.count**2 * self.dimension
        rows, columns = self.project.kernel.shape
        return compress + products + self.mlp.flops() + 2 * rows * columns

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "hidden_units": list(self.mlp.hidden_units),
            "compressed": self.compressed,
            "activation": self.mlp.activation,
        }
