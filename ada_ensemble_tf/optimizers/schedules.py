"""Learning rates that change with the steps."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def _constant(progress: tf.Tensor, final: float) -> tf.Tensor:
    del final
    return tf.ones_like(progress)


def _cosine(progress: tf.Tensor, final: float) -> tf.Tensor:
    return final + (1.0 - final) * 0.5 * (1.0 + tf.cos(math.pi * progress))


def _exponential(progress: tf.Tensor, final: float) -> tf.Tensor:
    return tf.pow(final, progress)


DECAYS: dict[str, Callable[[tf.Tensor, float], tf.Tensor]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
}
"""(progress of the decay in [0, 1], final factor) -> factor, by name."""


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly in a warm-up and then falls to a share of its peak.

    With t the number of the step, from 0, and p = min(max(t - warmup_steps, 0) / decay_steps, 1):

        warm-up      learning_rate (t + 1) / warmup_steps,    while t < warmup_steps
        constant     learning_rate
        cosine       learning_rate (final + (1 - final) (1 + cos(pi p)) / 2)
        exponential  learning_rate final^p

    Warm-up: Goyal et al., arXiv 1706.02677, section 2.2. Cosine: Loshchilov and Hutter, "SGDR", arXiv 1608.03983,
    equation 5, without restarts.

    Args:
        learning_rate: the peak.
        name: of the decay, one of `DECAYS`.
        warmup_steps: the steps of the warm-up; 0 for none.
        decay_steps: the steps of the decay, which follows the warm-up. Then the rate stays.
        final: the last rate as a share of the peak, above 0 and at most 1. FTRL divides by the rate.

    Raises:
        ValueError: if there is no such decay, a number is out of range, or a decay has no steps.

    Example:
        >>> schedule = Schedule(0.1, "exponential", warmup_steps=2, decay_steps=2, final=0.25)
        >>> [round(float(schedule(step)), 3) for step in range(6)]
        [0.05, 0.1, 0.1, 0.05, 0.025, 0.025]
    """

    def __init__(
        self,
        learning_rate: float,
        name: str = "constant",
        warmup_steps: int = 0,
        decay_steps: int = 0,
        final: float = 0.01,
    ):
        if name not in DECAYS:
            raise ValueError(f"schedule.name must be one of {', '.join(DECAYS)}; received {name!r}")
        if min(warmup_steps, decay_steps) < 0:
            raise ValueError(
                f"schedule.warmup_steps and schedule.decay_steps must be at least 0; "
                f"received {warmup_steps} and {decay_steps}"
            )
        if not 0.0 < final <= 1.0:
            raise ValueError(f"schedule.final must lie in (0, 1]; received {final}")
        if name == "constant" and decay_steps:
            raise ValueError(
                f"schedule.decay_steps={decay_steps} has no effect with schedule.name='constant': "
                "name a decay (cosine, exponential) or leave it 0"
            )
        if name != "constant" and not decay_steps:
            raise ValueError(f"schedule.decay_steps must be at least 1 for schedule.name={name!r}; received 0")
        self.learning_rate = learning_rate
        self.name = name
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps
        self.final = final

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate of a step, a float32 scalar."""
        t = tf.cast(tf.convert_to_tensor(step), tf.float32)
        progress = tf.clip_by_value((t - self.warmup_steps) / max(self.decay_steps, 1), 0.0, 1.0)
        warmth = tf.minimum((t + 1.0) / max(self.warmup_steps, 1), 1.0)
        return self.learning_rate * warmth * DECAYS[self.name](progress, self.final)

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "name": self.name,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "final": self.final,
        }


def scheduled(learning_rate: float, **schedule: Any) -> float | Schedule:
    """The learning rate with a schedule's arguments: a `Schedule`, or the plain number where it never changes.

    Raises:
        ValueError: as `Schedule` does.
    """
    made = Schedule(learning_rate, **schedule)
    return learning_rate if made.name == "constant" and not made.warmup_steps else made
