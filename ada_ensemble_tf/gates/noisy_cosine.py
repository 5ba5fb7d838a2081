"""AdaEnsemble's gate: noisy, cosine, with a learnable temperature and an annealed top-K."""

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.gates.base import Gate, GateReport
from ada_ensemble_tf.gates.top_k import top_k_gates
from ada_ensemble_tf.losses import router_z_loss

SMALLEST_SQUARE = 1e-4
"""Squared norms below are not normalised up: where all of a row's ReLUs are off, h is 0 and the gradient of its
direction would be a million times its gradient."""


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class NoisyCosineGate(Gate):
    """Cosine similarity between a projection of x0 and one learnable embedding a choice, over a temperature.

    AdaEnsemble (arXiv 2301.08353), section 3.3.1, equations 7 to 11: h = FFN(x0 * U(1 - noise, 1 + noise)) in
    training and FFN(x0) else, FFN: M -> M / reduction (ReLU) -> hidden_size; s_j = cos(h, e_j); g = s / temperature;
    softmax over the K largest. The temperature is the softplus of a variable, so that it stays positive.

    Args:
        num_choices: E.
        reduction: r, how many times narrower the FFN's inner layer is than M.
        hidden_size: d, size of h and of the choices' embeddings.
        noise: epsilon of the multiplicative jitter, in [0, 1].
        initial_temperature: above 0. The logits lie in [-1 / temperature, 1 / temperature].
        stop_gradient: whether the gate leaves x0 alone, as the original release does (the paper is silent).
        seed: of the jitter.

    Call arguments:
        x0: `[B, M]`; B may be 0.
        k: how many gates to keep, an int or an int32 scalar in [1, E].
        training: whether to add the jitter.

    Returns:
        (gates `[B, E]`, GateReport).

    Raises:
        ValueError: for a noise or temperature out of range.
    """

    def __init__(
        self,
        num_choices: int,
        reduction: int = 16,
        hidden_size: int = 16,
        noise: float = 0.5,
        initial_temperature: float = 0.5,
        stop_gradient: bool = True,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_choices, **kwargs)
        if not 0.0 <= noise <= 1.0:
            raise ValueError(f"noise must lie in [0, 1]; received {noise}")
        if initial_temperature <= 0.0:
            raise ValueError(f"initial_temperature must be positive; received {initial_temperature}")
        self.reduction = reduction
        self.hidden_size = hidden_size
        self.noise = noise
        self.initial_temperature = initial_temperature
        self.stop_gradient = stop_gradient
        self.seed = seed
        self.jitter_seed = keras.random.SeedGenerator(seed)

    def build(self, x0_shape):
        inner_width = max(1, x0_shape[-1] // self.reduction)
        self.squeeze = keras.layers.Dense(inner_width, activation="relu", name="squeeze")
        self.squeeze.build(x0_shape)
        self.project = keras.layers.Dense(self.hidden_size, name="project")
        self.project.build((None, inner_width))
        self.choices = self.add_weight(
            name="choices", shape=(self.num_choices, self.hidden_size), initializer="glorot_normal"
        )
        self.raw_temperature = self.add_weight(
            name="raw_temperature",
            shape=(),
            initializer=keras.initializers.Constant(float(np.log(np.expm1(self.initial_temperature)))),
        )

    @property
    def temperature(self) -> tf.Tensor:
        """The current temperature, a positive scalar."""
        return tf.nn.softplus(tf.convert_to_tensor(self.raw_temperature))

    def logits(self, x0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, E]` router logits, before top-K."""
        if self.stop_gradient:
            x0 = tf.stop_gradient(x0)
        if training and self.noise > 0.0:
            x0 *= keras.random.uniform(tf.shape(x0), 1.0 - self.noise, 1.0 + self.noise, x0.dtype, self.jitter_seed)
        hidden = tf.cast(self.project(self.squeeze(x0)), tf.float32)
        cosine = tf.matmul(
            tf.math.l2_normalize(hidden, axis=1, epsilon=SMALLEST_SQUARE),
            tf.math.l2_normalize(tf.convert_to_tensor(self.choices), axis=1, epsilon=SMALLEST_SQUARE),
            transpose_b=True,
        )
        return cosine / self.temperature

    def call(self, x0, k, training=False):
        logits = self.logits(x0, training)
        k = tf.cast(k, tf.int32)
        gates, probability = top_k_gates(logits, k)
        rows = tf.cast(tf.maximum(tf.shape(logits)[0], 1), tf.float32)
        largest = tf.one_hot(tf.argmax(logits, axis=1), self.num_choices)
        # A zero joins the extremes so that they are 0, not infinite, where there are no rows.
        some_logits = tf.pad(logits, [[0, tf.cast(tf.shape(logits)[0] == 0, tf.int32)], [0, 0]])
        report = GateReport(
            load=tf.stop_gradient(tf.reduce_sum(largest, axis=0)) / rows,
            routed=tf.reduce_sum(tf.cast(gates > 0.0, tf.float32), axis=0) / rows,
            probability=tf.reduce_sum(probability, axis=0) / rows,
            entropy=-tf.reduce_sum(probability * tf.nn.log_softmax(logits)) / rows,
            z=router_z_loss(logits),
            logit_min=tf.reduce_min(some_logits),
            logit_max=tf.reduce_max(some_logits),
            temperature=self.temperature,
            k=k,
        )
        return gates, report

    def flops(self) -> int:
        """Per row: the FFN and one cosine a choice."""
        inner_width = self.squeeze.units
        return 2 * (self.squeeze.kernel.shape[0] * inner_width + (inner_width + self.num_choices) * self.hidden_size)

    def get_config(self):
        return super().get_config() | {
            "reduction": self.reduction,
            "hidden_size": self.hidden_size,
            "noise": self.noise,
            "initial_temperature": self.initial_temperature,
            "stop_gradient": self.stop_gradient,
            "seed": self.seed,
        }
