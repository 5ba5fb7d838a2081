"""Mixed precision: what computes in bfloat16 and what stays in float32.

Matrix products and the feature maps between layers are bfloat16. Variables are float32, and so are gates, normalisation
statistics, estimators and everything that is summed into a logit.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Among

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""The Keras policy of each precision that a model can be trained in."""

# "glu" changes the width, and "threshold" has arguments of its own.
_NO_ACTIVATIONS = ("deserialize", "get", "glu", "serialize", "threshold")
Activation = Annotated[str, Among([n for n in dir(keras.activations) if n[0] != "_" and n not in _NO_ACTIVATIONS])]
"""The name of a Keras activation."""

_EXACT = (keras.activations.relu, keras.activations.linear)


@contextlib.contextmanager
def layers_of(policy: str) -> Iterator[None]:
    """Inside this context, layers are made with the Keras dtype policy `policy`, which they keep.

    Layers make further layers, some of them in `build`, so make and build the whole model inside it.
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
    """Casts a bfloat16 tensor to float32; returns any other unchanged."""
    return tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x


def apply_activation(activation: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """activation(x); for a bfloat16 x it is computed in float32 and rounded once.

    On CPU, TensorFlow's GELU and sigmoid take more than twice as long in bfloat16 as in float32, and their error is up
    to ten times the rounding error.
    """
    if activation in _EXACT:
        return activation(x)
    return tf.cast(activation(upcast(x)), x.dtype)
