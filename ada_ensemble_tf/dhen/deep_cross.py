"""The deep cross interaction module."""

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen.base import InteractionModule
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DeepCrossModule(InteractionModule):
    """u = (X X^T) W + b with X read as D x m: products of dimensions, summed over the list.

    DHEN (arXiv 2203.11014), equation 7, prints W on the left. Only on the right does a D x l W fit the D x D product
    and give l embeddings of size D; b is D x l too. The layer adds the skip connection of DCN V2.

    Args:
        num_outputs: l.

    Example:
        >>> DeepCrossModule(num_outputs=2)(tf.ones([1, 3, 4])).shape
        TensorShape([1, 2, 4])
    """

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        self.kernel = self.add_weight(name="kernel", shape=(self.dimension, self.num_outputs))
        self.bias = self.add_weight(name="bias", shape=(self.num_outputs, self.dimension), initializer="zeros")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        products = tf.matmul(x, x, transpose_a=True)
        # X X^T is symmetric, so W^T (X X^T) is the transpose, `[B, l, D]`, of the formula's product.
        return tf.einsum("bde,dl->ble", products, tf.convert_to_tensor(self.kernel)) + self.bias

    def flops(self) -> int:
        """Per row: X X^T and its product with W."""
        return 2 * self.dimension**2 * (self.num_inputs + self.num_outputs)
