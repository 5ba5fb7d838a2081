"""Piecewise-constant schedules of whole numbers over training steps."""

from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class StepSchedule:
    """A whole number that changes at given training steps, such as the K of annealed top-K gating.

    AdaEnsemble (arXiv 2301.08353), section 3.3.2: K falls from the number of experts to its final value. The schedule
    has no state. The model's step counter, one of its weights, says how far training has come, so a resumed, saved or
    exported model has the right value.

    Args:
        values: the values, first to last.
        boundaries: the steps at which the next value begins: `values[i]` holds for steps below `boundaries[i]`, the
            last value from the last boundary on. One fewer than `values`, strictly increasing.

    Raises:
        ValueError: if the lengths do not fit, the boundaries do not increase or a value is below 1.

    Example:
        >>> k = StepSchedule([3, 2, 1], boundaries=[100, 200])
        >>> [int(k(step)) for step in (0, 100, 250)]
        [3, 2, 1]
    """

    def __init__(self, values: Sequence[int], boundaries: Sequence[int] = ()):
        self.values = tuple(int(value) for value in values)
        self.boundaries = tuple(int(boundary) for boundary in boundaries)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "a schedule needs one value more than it has boundaries; "
                f"received values={self.values} and boundaries={self.boundaries}"
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"schedule boundaries must increase; received {self.boundaries}")
        if min(self.values) < 1:
            raise ValueError(f"schedule values must be at least 1; received {self.values}")

    @property
    def final(self) -> int:
        """The last value."""
        return self.values[-1]

    @property
    def last_boundary(self) -> int:
        """The step from which the final value holds."""
        return self.boundaries[-1] if self.boundaries else 0

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The value at `step`, an int32 scalar."""
        passed = tf.reduce_sum(tf.cast(tf.cast(step, tf.int64) >= tf.constant(self.boundaries, tf.int64), tf.int32))
        return tf.gather(tf.constant(self.values, tf.int32), passed)

    def get_config(self) -> dict:
        """The arguments from which `from_config` makes this schedule."""
        return {"values": self.values, "boundaries": self.boundaries}

    @classmethod
    def from_config(cls, config: dict) -> "StepSchedule":
        """The schedule of `get_config`'s arguments."""
        return cls(**config)


def linear_annealing(first: int, final: int, steps: int) -> StepSchedule:
    """A schedule that falls from `first` to `final` one by one, evenly over `steps` training steps.

    Example:
        >>> linear_annealing(4, 2, steps=100).boundaries
        (50, 100)
    """
    count = first - final
    if count < 0:
        raise ValueError(f"annealing goes down; received first={first} and final={final}")
    if steps == 0:
        return StepSchedule([final])
    if steps < count:
        raise ValueError(f"annealing from {first} to {final} needs at least {count} steps; received {steps}")
    return StepSchedule(range(first, final - 1, -1), [round(steps * (i + 1) / count) for i in range(count)])
