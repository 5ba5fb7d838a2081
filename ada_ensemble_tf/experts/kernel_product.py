"""The three kernel product experts."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape


class KernelProductExpert(Expert):
    """Dense(p), where p holds the products of the F (F - 1) / 2 pairs of fields i < j, each with its own kernel.

    The kernel product of PNN's second paper (arXiv 1807.00311); each subclass sets the size of the kernel. All products
    start as <x_i, x_j> / sqrt(D), which has the scale of x's elements. A scalar kernel adds no expressive power to
    inner products, because the Dense is linear; it only changes which weights training finds.

    Args:
        num_fields: F, at least 2.

    Raises:
        ValueError: if there are fewer than two fields.
    """

    def __init__(self, num_fields: Count, **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        if num_fields < 2:
            raise ArgumentError("num_fields", "be at least 2 for there to be a pair", num_fields)
        self.left, self.right = np.triu_indices(num_fields, 1)

    def kernel_shape(self) -> tuple[int, ...]:
        """The shape of one pair's kernel."""
        raise NotImplementedError

    def products(self, fields: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The products of the P pairs, `[B, P]`, from fields `[B, F, D]` and kernel `[P, *kernel_shape]`."""
        raise NotImplementedError

    def product_flops(self) -> int:
        """FLOPs per row of all products."""
        raise NotImplementedError

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.kernel = self.add_weight(
            name="kernel", shape=(len(self.left), *self.kernel_shape()), initializer=self._inner_product
        )
        self.project = Dense(self.width, name="project")
        self.project.build((None, len(self.left)))

    def _inner_product(self, shape: Shape, dtype: Any = None) -> tf.Tensor:
        one = tf.eye(self.dimension, dtype=dtype) if len(shape) == 3 else tf.ones(shape[1:], dtype)
        return tf.broadcast_to(one, shape) / self.dimension**0.5

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        fields = tf.reshape(x, [-1, self.num_fields, self.dimension])
        return self.project(self.products(fields, tf.convert_to_tensor(self.kernel)))

    def flops(self) -> int:
        """Per row: the products and the Dense."""
        return self.product_flops() + 2 * len(self.left) * self.width


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MatrixKernelProductExpert(KernelProductExpert):
    """p_ij = x_i^T W_ij x_j, W_ij a matrix; see `KernelProductExpert`.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = MatrixKernelProductExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        192
    """

    def kernel_shape(self) -> tuple[int, ...]:
        """`[D, D]`."""
        return self.dimension, self.dimension

    def products(self, fields: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """`[B, P]`, one matrix a pair."""
        left, right = tf.gather(fields, self.left, axis=1), tf.gather(fields, self.right, axis=1)
        return tf.reduce_sum(tf.einsum("bpd,pde->bpe", left, kernel) * right, axis=2)

    def product_flops(self) -> int:
        """Per row and pair: D^2 multiply-adds and the inner product."""
        return 2 * len(self.left) * (self.dimension * self.dimension + self.dimension)


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class VectorKernelProductExpert(KernelProductExpert):
    """p_ij = sum_d w_ijd x_id x_jd, w_ij a vector; see `KernelProductExpert`.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = VectorKernelProductExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        108
    """

    def kernel_shape(self) -> tuple[int, ...]:
        """`[D]`."""
        return (self.dimension,)

    def products(self, fields: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """`[B, P]`, one vector a pair."""
        left, right = tf.gather(fields, self.left, axis=1), tf.gather(fields, self.right, axis=1)
        return tf.reduce_sum(left * kernel * right, axis=2)

    def product_flops(self) -> int:
        """Per row and pair: D products with the kernel and the inner product."""
        return 3 * len(self.left) * self.dimension


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class ScalarKernelProductExpert(KernelProductExpert):
    """p_ij = w_ij <x_i, x_j>, w_ij a scalar; see `KernelProductExpert`.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = ScalarKernelProductExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        147
    """

    def kernel_shape(self) -> tuple[int, ...]:
        """A scalar."""
        return ()

    def products(self, fields: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """`[B, P]`, one number a pair."""
        inner = tf.reshape(tf.matmul(fields, fields, transpose_b=True), [-1, self.num_fields**2])
        return tf.gather(inner, self.left * self.num_fields + self.right, axis=1) * kernel

    def product_flops(self) -> int:
        """Per row: all F^2 inner products, since all are computed, and the pairs' products with the kernel."""
        return 2 * self.num_fields**2 * self.dimension + len(self.left)
