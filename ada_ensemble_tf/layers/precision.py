"""Mixed precision: what computes in bfloat16, and what keeps the digits of float32.

Matrix products and the feature maps between layers are bfloat16. Variables are float32, and so are gates, statistics of
normalisation, estimators and all that is summed into a logit.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""The Keras policy of each precision that a model can be trained in."""

_EXACT = (keras.activations.relu, keras.activations.linear)


@contextlib.contextmanager
def layers_of(policy: str) -> Iterator[None]:
    """Within it, layers are made under the Keras dtype policy `policy`, which they keep; after it as before.

    Layers make layers of their own, also in `build`, so a model is to be made within it as a whole.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def full_precision(dtype: Any = None) -> keras.DTypePolicy:
    """The policy of a layer that computes in the type of its variables, as gates and estimators do.

    Args:
        dtype: what the layer was given, a policy or its name or config; the global policy by default.
    """
    policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
    return keras.DTypePolicy(policy.variable_dtype)


def upcast(x: tf.Tensor) -> tf.Tensor:
    """A bfloat16 tensor in float32; any other as it is."""
    return tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x


def apply_activation(activation: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """activation(x), of bfloat16 computed in float32 and rounded once.

    TensorFlow's GELU and sigmoid of bfloat16 take more than twice as long as those of float32 on CPU, and are up to
    ten times less exact than the rounding.
    """
    if activation in _EXACT:
        return activation(x)
    return tf.cast(activation(upcast(x)), x.dtype)
