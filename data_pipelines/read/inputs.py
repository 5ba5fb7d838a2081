"""What models take as inputs. This is the only module that asks which of the two forms they have."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import tensorflow as tf

Inputs: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor]
"""Ids `[B, C]`, or {"ids": ids, "values": float `[B, N]`} if fields have floats; as tensors, arrays or specs."""


def make_inputs(ids: Any, values: Any | None) -> Inputs:
    """Makes inputs from ids and, unless None, values."""
    return ids if values is None else {"ids": ids, "values": values}


def named(inputs: Inputs) -> dict[str, Any]:
    """The parts of inputs by name: "ids" and, if there are any, "values"."""
    return dict(inputs) if isinstance(inputs, Mapping) else {"ids": inputs}


def ids_of(inputs: Inputs) -> Any:
    """The ids `[B, C]`."""
    return named(inputs)["ids"]


def values_of(inputs: Inputs) -> Any | None:
    """The values `[B, N]`; None if there are none."""
    return named(inputs).get("values")
