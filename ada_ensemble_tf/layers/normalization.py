"""Normalisation of feature maps that routing may leave with few rows, or none."""

import contextlib
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.replicas import global_sum, global_sums
from ada_ensemble_tf.layers.fields import Shape

_statistics_frozen: ContextVar[bool] = ContextVar("statistics_frozen", default=False)


@contextlib.contextmanager
def frozen_statistics():
    """Inside this context, calls in training mode do not update the moving statistics.

    The gate update of bi-level training runs the network in training mode, but the statistics belong to the weights
    and must change in weight updates only.
    """
    token = _statistics_frozen.set(True)
    try:
        yield
    finally:
        _statistics_frozen.reset(token)


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class RoutedBatchNormalization(keras.layers.Layer):
    """Batch normalisation that stays defined when routing leaves fewer than two rows.

    With two or more rows it is ordinary batch normalisation (arXiv 1502.03167). With fewer, the batch has no variance:
    the moving statistics normalise it and are not updated, whereas Keras' layer would turn them into NaN for good.
    Under a `tf.distribute` strategy the batch is the global one: mean and variance cover the rows of all replicas.

    Args:
        momentum: share of the old value that a moving statistic keeps in an update.
        epsilon: added to the variance.
        affine: whether a learned scale and shift follow.

    Call arguments:
        x: `[B, M]`, B may be 0.
        training: whether to use (and update) the batch's statistics.
        counted: `[B]` booleans, the rows that mean and variance cover; all by default. All rows are normalised.

    Returns:
        `[B, M]`.

    Example:
        >>> normalize = RoutedBatchNormalization()
        >>> normalize(tf.constant([[1.0], [5.0]]), training=True).numpy().round(2)
        array([[-1.],
               [ 1.]], dtype=float32)
        >>> normalize(tf.zeros([0, 1]), training=True).shape
        TensorShape([0, 1])
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, affine: bool = True, **kwargs: Any):
        # Sums over rows need the digits that casting the input would drop.
        super().__init__(autocast=False, **kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1); received {momentum}")
        self.momentum = momentum
        self.epsilon = epsilon
        self.affine = affine

    def build(self, x_shape: Shape) -> None:
        shape = (x_shape[-1],)
        if self.affine:
            self.gamma = self._add_vector("gamma", shape, "ones")
            self.beta = self._add_vector("beta", shape, "zeros")
        self.moving_mean = self._add_vector("moving_mean", shape, "zeros", trainable=False)
        self.moving_variance = self._add_vector("moving_variance", shape, "ones", trainable=False)

    def _add_vector(self, name: str, shape: Shape, initializer: str, trainable: bool = True) -> keras.Variable:
        """A weight that mixed precision does not round."""
        return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=trainable, autocast=False)

    def call(self, x: tf.Tensor, training: bool = False, counted: tf.Tensor | None = None) -> tf.Tensor:
        moving_mean = tf.convert_to_tensor(self.moving_mean)
        moving_variance = tf.convert_to_tensor(self.moving_variance)
        mean, variance = moving_mean, moving_variance
        values = tf.cast(x, self.variable_dtype)
        if training:
            share = None if counted is None else tf.cast(counted, values.dtype)
            local = tf.cast(tf.shape(x)[0], values.dtype) if share is None else tf.reduce_sum(share)
            rows, total = global_sums(local, _sum_of_rows(values, share))
            enough = rows >= 2.0
            count = tf.maximum(rows, 1.0)
            batch_mean = total / count
            # A sum of squares would cancel where the mean is large.
            batch_variance = global_sum(_sum_of_rows(tf.square(values - batch_mean), share)) / count
            mean = tf.where(enough, batch_mean, moving_mean)
            variance = tf.where(enough, batch_variance, moving_variance)
            if not _statistics_frozen.get():
                self.moving_mean.assign_add((1.0 - self.momentum) * (mean - moving_mean))
                self.moving_variance.assign_add((1.0 - self.momentum) * (variance - moving_variance))
        scale = tf.math.rsqrt(variance + self.epsilon)
        if not self.affine:
            return tf.cast((values - mean) * scale, self.compute_dtype)
        scale *= tf.convert_to_tensor(self.gamma)
        return tf.cast(values * scale + (self.beta - mean * scale), self.compute_dtype)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "affine": self.affine,
        }


def _sum_of_rows(x: tf.Tensor, share: tf.Tensor | None) -> tf.Tensor:
    """The sum over rows, of which each counts by its share."""
    return tf.reduce_sum(x, axis=0) if share is None else tf.linalg.matvec(x, share, transpose_a=True)


def make_normalization(name: str, layer_name: str, dtype: keras.DTypePolicy | None = None) -> keras.layers.Layer:
    """The normalisation layer called `name`: "batch", "layer" or "none".

    Args:
        name: the kind.
        layer_name: the layer's name.
        dtype: its policy; the global one by default. All kinds compute in float32 and round the result.

    Raises:
        ValueError: if `name` is none of these.

    Example:
        >>> make_normalization("layer", "normalize")(tf.constant([[1.0, 5.0]])).numpy().round(2)
        array([[-1.,  1.]], dtype=float32)
    """
    if name == "batch":
        return RoutedBatchNormalization(dtype=dtype, name=layer_name)
    if name == "layer":
        return keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=layer_name)
    if name == "none":
        return keras.layers.Identity(dtype=dtype, name=layer_name)
    raise ValueError(f"normalization must be 'batch', 'layer' or 'none'; received {name!r}")
