"""The interaction machine expert."""

import math
from typing import Annotated, Any

import keras
import tensorflow as tf
from msgspec import Meta

from ada_ensemble_tf.arguments import Count
from ada_ensemble_tf.experts.base import Expert
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import upcast

MAX_ORDER = 5
Order = Annotated[int, Meta(ge=1, le=MAX_ORDER, description=f"lie between 1 and {MAX_ORDER}")]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class InteractionMachineExpert(Expert):
    """Dense([e_1 / s_1 .. e_order / s_order]), e_k the sum of the element-wise products of all sets of k fields.

    Yu et al., "Deep Interaction Machine", CIKM 2020: the elementary symmetric polynomials e_k (each `[B, D]`) follow by
    Newton's identities, k e_k = sum_i (-1)^(i-1) e_{k-i} p_i, from the power sums p_i = sum_f x_f^i, so that
    the work grows linearly with F. The scale s_k, the square root of the number of sets, is not in the paper. It gives
    e_k the scale of one product of k fields; the Dense could absorb it.

    Newton's identities suffer from cancellation: in float32 the error of e_k is about 1e-7 F max |x|^k. That is small
    next to e_k if the fields have similar scales, as in a normalised feature map. Nothing is clipped: with 39 fields,
    order 5 stays finite for |x| up to 1e6.

    Args:
        num_fields: F.
        order: the highest k, from 1 to 5; F if there are fewer fields.

    Raises:
        ValueError: for an order out of range.

    Example:
        >>> x0 = x = tf.ones([2, 12])
        >>> expert = InteractionMachineExpert(num_fields=3)
        >>> expert(x0, x).shape
        TensorShape([2, 12])
        >>> expert.flops()
        396
    """

    def __init__(self, num_fields: Count, order: Order = MAX_ORDER, **kwargs: Any):
        super().__init__(num_fields, **kwargs)
        self.order = order
        self.orders = min(order, num_fields)

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        super().build(x0_shape, x_shape)
        self.project = Dense(self.width, name="project")
        self.project.build((None, self.orders * self.dimension))

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        # The identities cancel so strongly that bfloat16 would leave no correct digit.
        fields = tf.reshape(upcast(x), [-1, self.num_fields, self.dimension])
        power, power_sums = fields, [tf.reduce_sum(fields, axis=1)]
        for _ in range(1, self.orders):
            power = power * fields
            power_sums.append(tf.reduce_sum(power, axis=1))
        polynomials = [tf.ones_like(power_sums[0])]
        for k in range(1, self.orders + 1):
            terms = [(-1) ** (i - 1) * polynomials[k - i] * power_sums[i - 1] for i in range(1, k + 1)]
            polynomials.append(tf.add_n(terms) / k)
        scales = [math.comb(self.num_fields, k) ** -0.5 for k in range(1, self.orders + 1)]
        return self.project(tf.concat([s * e for s, e in zip(scales, polynomials[1:], strict=True)], axis=1))

    def flops(self) -> int:
        """Per row: the powers and their sums, Newton's identities and the Dense."""
        sums = (2 * self.orders - 1) * self.width
        identities = self.dimension * self.orders * (self.orders + 1)
        return sums + identities + 2 * self.orders * self.dimension * self.width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"order": self.order}
