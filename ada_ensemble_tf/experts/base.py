"""What every feature-interaction expert is."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, check_arguments, constructor_parameters
from ada_ensemble_tf.layers.fields import Shape, field_dimension


class Expert(keras.layers.Layer):
    """A layer that maps (x0, x), both `[B, M]`, to `[B, M]`.

    x0 is the embedding output and x the previous layer's output. An expert has no residual and no outer
    normalisation: the MoE layer around it adds both. It must accept a batch of zero rows.

    A constructor's annotations are checked: a type of `arguments.py` gives an argument its range.

    Args:
        num_fields: F; experts that work on fields read their input as `[B, F, D]`.

    Raises:
        ValueError: for arguments out of range, named in the message, or if M is not a multiple of F.
    """

    reads_x0 = False
    """Whether `call` uses x0. If not, the dispatcher does not move x0's rows."""

    def __new__(cls, *arguments: Any, **named: Any) -> "Expert":
        """Checks the arguments that experts declare, not those of all Keras layers."""
        parameters = constructor_parameters(cls, Expert)
        given = dict(zip(parameters, arguments, strict=False)) | named
        check_arguments(parameters, {name: value for name, value in given.items() if name in parameters})
        return super().__new__(cls, *arguments, **named)

    def __init__(self, num_fields: Count, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_fields = num_fields

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        self.dimension = field_dimension(x_shape, self.num_fields)
        self.width = x_shape[-1]

    def before_activation(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, M]`: what `activate` makes the output of; the output itself where no activation comes last."""
        return self(x0, x, training=training)

    def activate(self, x0: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        """The output `[B, M]`, of what comes before the last activation."""
        return sums

    def compute_output_shape(self, x0_shape: Shape, x_shape: Shape) -> Shape:
        return x_shape

    def flops(self) -> int:
        """Floating-point operations per row of a built layer; a multiply-add counts as two."""
        raise NotImplementedError(f"{type(self).__name__} must define flops()")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_fields": self.num_fields}
