"""A model is made no larger than its checkpoint: whoever wrote model.json must not get memory for the asking."""

import collections
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count, Counts, SomeCounts, constructor_parameters
from ada_ensemble_tf.models import CTRModel

Shapes = Sequence[tuple[int, ...]]
"""Of all variables of a checkpoint."""
_HARMLESS = 1 << 16
"""A size that costs next to nothing before the first variable is made."""


@contextlib.contextmanager
def no_larger_than(saved: Shapes) -> Iterator[None]:
    """Within the block, only variables of the shapes of a checkpoint's can be made, each as often as it has them.

    Shapes are compared before memory is taken. Variables start as zeros, since the checkpoint has their values: to draw
    a large table would take several times its memory.

    Raises:
        ValueError: in the block, for the first variable that the checkpoint does not have.
    """
    left = collections.Counter(saved)

    def create(next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        value = arguments["initial_value"]
        with tf.Graph().as_default():
            start = tf.convert_to_tensor(value()) if callable(value) else value
        shape, dtype = tuple(start.shape), start.dtype
        if not left[shape]:
            raise ValueError(f"it has a variable {arguments.get('name')!r} of shape {shape} that was not saved")
        left[shape] -= 1
        return next_creator(**(arguments | {"initial_value": lambda: tf.zeros(shape, dtype)}))

    with tf.variable_creator_scope(create):
        yield


def check_sizes(cls: type[CTRModel], arguments: Mapping[str, Any], saved: Shapes) -> None:
    """Sees that no number of layers, units or the like exceeds the number of all weights of a checkpoint.

    Raises:
        ArgumentError: for one that does. Of what would be made for it, not all is variables.
    """
    most = max(_HARMLESS, sum(map(math.prod, saved)))
    for name, parameter in constructor_parameters(cls, CTRModel).items():
        if any(parameter.annotation == kind for kind in (Count, Counts, SomeCounts)):
            value = arguments.get(name)
            for size in value if isinstance(value, list) else [value]:
                if isinstance(size, int) and size > most:
                    raise ArgumentError(name, f"be at most {most:,}, for so many weights were saved", size)
