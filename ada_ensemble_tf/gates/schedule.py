"""Piecewise-constant schedules over training steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import msgspec
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, CountsOrZeros, Number, Weight, check_argument, plain


class Schedule:
    """A number that changes at given training steps.

    A schedule has no state. The model's step counter, one of its weights, says how far training has come, so a resumed,
    saved or exported model has the right value.

    Args:
        values: the values, first to last.
        boundaries: the steps at which the next value begins: `values[i]` holds for steps below `boundaries[i]`, the
            last value from the last boundary on. One fewer than `values`, strictly increasing.

    Raises:
        ValueError: if the lengths do not fit or the boundaries do not increase.

    Example:
        >>> weight = Schedule([0.5, 0.0], boundaries=[100])
        >>> [float(weight(step)) for step in (0, 100)]
        [0.5, 0.0]
    """

    dtype = tf.float32

    def __init__(self, values: Sequence[float], boundaries: Sequence[int] = ()):
        self.values = tuple(values)
        self.boundaries = tuple(int(boundary) for boundary in boundaries)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "a schedule needs one value more than it has boundaries; "
                f"received values={self.values} and boundaries={self.boundaries}"
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"schedule boundaries must increase; received {self.boundaries}")

    @property
    def final(self) -> float:
        """The last value."""
        return self.values[-1]

    @property
    def last_boundary(self) -> int:
        """The step from which the final value holds."""
        return self.boundaries[-1] if self.boundaries else 0

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The value at `step`, a scalar."""
        passed = tf.reduce_sum(tf.cast(tf.cast(step, tf.int64) >= tf.constant(self.boundaries, tf.int64), tf.int32))
        return tf.gather(tf.constant(self.values, self.dtype), passed)


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class StepSchedule(Schedule):
    """A `Schedule` of whole numbers, such as the K of annealed top-K gating.

    AdaEnsemble (arXiv 2301.08353), section 3.3.2: K falls from the number of experts to its final value.

    Args:
        values, boundaries: see `Schedule`.

    Raises:
        ValueError: as for `Schedule`, and if a value is below 1.

    Example:
        >>> k = StepSchedule([3, 2, 1], boundaries=[100, 200])
        >>> [int(k(step)) for step in (0, 100, 250)]
        [3, 2, 1]
    """

    dtype = tf.int32

    def __init__(self, values: Sequence[int], boundaries: Sequence[int] = ()):
        super().__init__([int(value) for value in values], boundaries)
        if min(self.values) < 1:
            raise ValueError(f"schedule values must be at least 1; received {self.values}")

    def get_config(self) -> dict:
        """The arguments from which `from_config` makes this schedule."""
        return {"values": self.values, "boundaries": self.boundaries}

    @classmethod
    def from_config(cls, config: dict) -> "StepSchedule":
        """The schedule of `get_config`'s arguments."""
        return cls(**config)


class EvenFall:
    """A number that falls evenly from 1 at step 0 to 0 at step `steps`, and stays there.

    Example:
        >>> fall = EvenFall(steps=100)
        >>> [float(fall(step)) for step in (0, 25, 200)]
        [1.0, 0.75, 0.0]
    """

    def __init__(self, steps: int):
        self.steps = steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The value at `step`, a float32 scalar."""
        return tf.maximum(1.0 - tf.cast(step, tf.float32) / float(self.steps), 0.0)


SCHEDULE = "map 'values' to numbers and 'boundaries' to the steps between them, increasing and one fewer"


def make_schedule(argument: str, given: Mapping[str, Any], of_value: Any = Weight) -> Schedule:
    """The schedule that a mapping of "values" and "boundaries" describes; "boundaries" may be left out for one value.

    Args:
        argument: the name of what is given.
        given: the mapping.
        of_value: the annotation that each value must fit, such as a type of `arguments.py`.

    Raises:
        ArgumentError: for anything else.

    Example:
        >>> make_schedule("load_schedule", {"values": (1, 0), "boundaries": (100,)}).values
        (1.0, 0.0)
    """
    try:
        described = msgspec.convert(plain(given), _Described)
        schedule = Schedule(described.values, described.boundaries)
    except ValueError:
        raise ArgumentError(argument, SCHEDULE, given) from None
    for value in schedule.values:
        try:
            check_argument("each value", value, of_value)
        except ArgumentError as error:
            raise ArgumentError(argument, f"have values each of which must {error.requirement}", given) from None
    return schedule


class _Described(msgspec.Struct, forbid_unknown_fields=True):
    values: tuple[Number, ...]
    boundaries: CountsOrZeros = ()


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
