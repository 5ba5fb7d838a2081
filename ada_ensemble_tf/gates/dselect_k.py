"""DSelect-k: a sparse gate that is differentiable everywhere."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Fraction, Positive, Weight
from ada_ensemble_tf.devices.replicas import global_sums
from ada_ensemble_tf.gates.base import Gate
from ada_ensemble_tf.gates.report import TINY, GateReport, gate_report
from ada_ensemble_tf.gates.smooth_step import smooth_step
from ada_ensemble_tf.gates.top_k import straight_through, top_k_mask
from ada_ensemble_tf.layers.fields import Shape


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DSelectKGate(Gate):
    """sum_i softmax(w)_i r_i: a few selectors, each of which settles on one choice by a binary code.

    DSelect-k (arXiv 2106.03760), section 3, in its per-example form. Choice j has the binary code of the number j, with
    m = ceil(log2 E) bits. Selector i has m numbers z_i. With the smooth step S,

        r_ij = product over bits b of S(z_ib) if bit b of j is 1, and of 1 - S(z_ib) if it is 0.

    z and w are linear in h = FFN(x0). z starts near 0, where every choice is possible. S is exactly 0 or 1 outside its
    slope, so selectors become exactly one-hot and gates exactly sparse, without a jump.

    The report's penalty is a mean over the batch's rows. It is entropy_weight * sum_i entropy(r_i), which pushes
    selectors towards one-hot. If E is not a power of two, unused_weight * sum_i 1 / sum_j r_ij is added, which keeps
    selectors off codes that belong to no choice.

    Once the selectors are one-hot, at most `selectors` gates are not zero. `k` keeps at most the k largest gates, which
    matters until then, and for a depth gate. Kept gates are divided by their sum. A row whose selectors are all at
    unused codes has equal gates. With k = E, only exact zeros are dropped.

    Args:
        num_choices, reduction, hidden_size, stop_gradient, seed, dropout, l2, noise_schedule, temperature_schedule:
            see `Gate`.
        noise: epsilon of the multiplicative jitter of x0 in training, in [0, 1], as in `NoisyCosineGate`.
        initial_temperature: divides z, so the slope of S is gamma times the temperature wide in z.
        selectors: how many.
        gamma: width of the smooth step.
        entropy_weight: coefficient of the entropies, at least 0.
        entropy_schedule: a schedule of `entropy_weight` by training step, like the other schedules of `Gate`.
        unused_weight: coefficient of the penalty on unused codes, at least 0.

    Example:
        >>> gates, report = DSelectKGate(num_choices=4, selectors=2)(tf.ones([2, 12]), k=2)
        >>> gates.shape
        TensorShape([2, 4])
        >>> tf.reduce_sum(gates, axis=1).numpy().round(4)
        array([1., 1.], dtype=float32)
    """

    def __init__(
        self,
        num_choices: Count,
        *,
        noise: Fraction = 0.5,
        selectors: Count = 3,
        gamma: Positive = 1.0,
        entropy_weight: Weight = 0.01,
        unused_weight: Weight = 0.01,
        entropy_schedule: Mapping[str, Any] | None = None,
        **shared: Any,
    ):
        super().__init__(num_choices, noise=noise, **shared)
        self.selectors = selectors
        self.gamma = gamma
        self.entropy_weight = entropy_weight
        self._schedule("entropy_schedule", entropy_schedule, "entropy_weight")
        self.unused_weight = unused_weight
        self.bits = max(1, (num_choices - 1).bit_length())
        self.codes = (np.arange(num_choices)[:, None] >> np.arange(self.bits)) & 1 == 1

    def build(self, x0_shape: Shape) -> None:
        super().build(x0_shape)
        narrow = keras.initializers.RandomUniform(-self.gamma / 100.0, self.gamma / 100.0, self.seed)
        self.code = self.add_weight(
            name="code", shape=(self.hidden_size, self.selectors * self.bits), initializer=narrow
        )
        self.code_bias = self.add_weight(name="code_bias", shape=(self.selectors * self.bits,), initializer=narrow)
        self.mix = self.add_weight(name="mix", shape=(self.hidden_size, self.selectors), initializer="glorot_uniform")

    def select(self, x0: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(z `[B, selectors * m]`, r `[B, selectors, E]`, softmax(w) `[B, selectors]`)."""
        hidden = self.hidden(x0, training, jitter=True)
        z = (tf.matmul(hidden, tf.convert_to_tensor(self.code)) + self.code_bias) / self.temperature
        steps = tf.reshape(smooth_step(z, self.gamma), [-1, self.selectors, 1, self.bits])
        r = tf.ones_like(steps[..., 0])
        for bit in range(self.bits):
            # One factor at a time: the gradient of reduce_prod costs more, and divides.
            r *= tf.where(self.codes[:, bit], steps[..., bit], 1.0 - steps[..., bit])
        return z, r, tf.nn.softmax(tf.matmul(hidden, tf.convert_to_tensor(self.mix)))

    def call(self, x0: tf.Tensor, k: tf.Tensor | int, training: bool = False) -> tuple[tf.Tensor, GateReport]:
        k = tf.cast(k, tf.int32)
        z, r, weights = self.select(x0, training)
        mass = tf.einsum("bs,bse->be", weights, r)
        lost = tf.reduce_sum(mass, axis=1, keepdims=True) <= TINY
        mass = tf.where(lost, tf.ones_like(mass), mass)
        probability = mass / tf.reduce_sum(mass, axis=1, keepdims=True)
        mask = top_k_mask(probability, k) & (probability > 0.0)
        some = tf.where(mask, probability, tf.zeros_like(probability))
        gates = straight_through(some / tf.reduce_sum(some, axis=1, keepdims=True), probability, mask)
        penalty = self.penalty(r) + self.weight_penalty()
        return gates, gate_report(gates, probability, z, k, temperature=self.temperature, penalty=penalty)

    def penalty(self, r: tf.Tensor) -> tf.Tensor:
        """The penalty of selectors r `[B, selectors, E]`, a scalar; 0 for no rows."""
        penalty = -self.scheduled("entropy_weight") * tf.reduce_sum(r * tf.math.log(tf.maximum(r, TINY)))
        if self.num_choices < 2**self.bits:
            # Bounded, because a selector may be entirely at unused codes.
            penalty += self.unused_weight * tf.reduce_sum(1.0 / tf.maximum(tf.reduce_sum(r, axis=2), 1e-3))
        rows, penalty = global_sums(tf.cast(tf.shape(r)[0], r.dtype), penalty)
        return penalty / tf.maximum(rows, 1.0)

    def flops(self) -> int:
        """Per row: the FFN, codes, weights and the sum of selectors."""
        width = self.selectors * (self.bits + 1)
        return super().flops() + 2 * self.hidden_size * width + 2 * self.selectors * self.num_choices

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "selectors": self.selectors,
            "gamma": self.gamma,
            "entropy_weight": self.entropy_weight,
            "unused_weight": self.unused_weight,
        }
