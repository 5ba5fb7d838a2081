"""The dense layer of all models."""

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.precision import apply_activation


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class Dense(keras.layers.Dense):
    """activation(W x + b): Keras' layer, with correct gradients under mixed precision.

    Keras adds b with `tf.nn.bias_add`. On CPU, that operation sums its bfloat16 gradient over rows in bfloat16: 4096
    rows of 0.01 give 4 instead of 41. The gradient of a plain addition is accumulated in float32.

    Arguments and shapes are those of `keras.layers.Dense`.

    Example:
        >>> Dense(3)(tf.ones([2, 4])).shape
        TensorShape([2, 3])
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if self.compute_dtype == self.variable_dtype:
            return super().call(inputs, training)
        x = keras.ops.matmul(inputs, self.kernel)
        if self.use_bias:
            x = tf.add(x, tf.convert_to_tensor(self.bias))
        return apply_activation(self.activation, x)
