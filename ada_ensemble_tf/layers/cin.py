"""The compressed interaction network."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape, field_dimension
from ada_ensemble_tf.layers.sharded_layer import ShardableLayer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class CompressedInteractionNetwork(ShardableLayer):
    """Vector-wise interactions of bounded degree, sum-pooled: layer k has the products of k + 1 fields.

    X^k_h = sum_ij W^{k,h}_ij (X^{k-1}_i * X^0_j) + b^k_h, where X^0 is the F fields and X^k the H_k feature maps of
    layer k, each of size D; the output holds sum_d X^k_hd for all h and k. xDeepFM (arXiv 1803.05170), equation 6 and
    the sum pooling that follows it: no activation, and all maps of a layer go both to the next layer and to the output.
    The paper's equation has no bias; here each map has one.

    Args:
        num_fields: F.
        feature_maps: H_1 .. H_T.

    Call arguments:
        x: `[B, M]`, B may be 0.

    Returns:
        `[B, H_1 + .. + H_T]`.

    Raises:
        ValueError: for arguments out of range, or if M is not a multiple of F.

    Example:
        >>> CompressedInteractionNetwork(num_fields=3, feature_maps=(5, 4))(tf.ones([2, 6])).shape
        TensorShape([2, 9])
    """

    def __init__(self, num_fields: int, feature_maps: Sequence[int] = (128, 128), **kwargs: Any):
        super().__init__(**kwargs)
        if num_fields < 1:
            raise ValueError(f"num_fields must be at least 1; received {num_fields}")
        if not len(feature_maps) or min(feature_maps) < 1:
            raise ValueError(f"feature_maps must be one or more positive sizes; received {list(feature_maps)}")
        self.num_fields = num_fields
        self.feature_maps = tuple(int(size) for size in feature_maps)
        self.dense_layers = [Dense(h, name=f"dense_{k}") for k, h in enumerate(self.feature_maps, 1)]

    def build(self, x_shape: Shape) -> None:
        self.dimension = field_dimension(x_shape, self.num_fields)
        maps = self.num_fields
        for dense in self.dense_layers:
            dense.build((None, maps * self.num_fields))
            maps = dense.units

    def call(self, x: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(x, [-1, self.num_fields, self.dimension])
        # With D before the maps, one matrix row holds everything that a map sums over.
        x0 = tf.reshape(tf.transpose(fields, [0, 2, 1]), [-1, 1, self.num_fields])
        maps, pooled = x0[:, 0], []
        for dense in self.dense_layers:
            products = tf.reshape(maps[:, :, None] * x0, [-1, dense.kernel.shape[0]])
            maps = dense(products)
            pooled.append(tf.reduce_sum(tf.reshape(maps, [-1, self.dimension, dense.units]), axis=1))
        return tf.concat(pooled, axis=1)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], sum(self.feature_maps))

    def flops(self) -> int:
        """Per row: for each of D the products of maps and fields, their weighted sums, and the pooling."""
        kernels = [dense.kernel.shape for dense in self.dense_layers]
        return self.dimension * sum(products + 2 * products * maps + maps for products, maps in kernels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_fields": self.num_fields, "feature_maps": list(self.feature_maps)}
