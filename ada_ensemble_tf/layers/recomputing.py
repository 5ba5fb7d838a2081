"""Activation checkpointing: the backward pass computes a layer's intermediate tensors again."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


def recomputed(layer: keras.layers.Layer) -> Callable[..., Any]:
    """`layer` as a function that keeps only its inputs for the backward pass, which runs the layer once more.

    Training deep neural nets with sublinear memory cost (arXiv 1604.06174). Outputs and gradients are those of the
    layer itself. Its state, such as moving statistics and the seeds of dropout, changes in the forward pass only: the
    second run starts from the state that the first one found, so it draws the same noise, and what it would assign is
    dropped. Randomness that comes from anything but a Keras `SeedGenerator` of the layer differs between the two runs.

    Replicas exchange a batch's statistics in both runs.

    Args:
        layer: a built layer.

    Returns:
        A function of the layer's tensors, by position and None where the layer takes None, and of its other arguments,
        by name, which get no gradient. It returns what the layer returns.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> recomputed(layer)(tf.ones([1, 3])).shape
        TensorShape([1, 2])
    """

    def call(*inputs: tf.Tensor | None, **options: Any) -> Any:
        given = [x for x in inputs if x is not None]
        variables = layer.variables

        def run(tensors: Sequence[tf.Tensor]) -> tuple[Any, dict[int, tf.Tensor]]:
            """(the layer's output, the new values of the variables that it assigned, by place)."""
            passed = iter(tensors)
            arguments = [None if x is None else next(passed) for x in inputs]
            # Tensors in place of variables, so that assignments stay in the scope and gradients are by the tensors.
            with keras.StatelessScope(list(zip(variables, passed, strict=True))) as scope:
                before = [scope.get_current_value(v) for v in variables]
                output = layer(*arguments, **options)
                after = [scope.get_current_value(v) for v in variables]
            return output, {i: new for i, (old, new) in enumerate(zip(before, after, strict=True)) if new is not old}

        # What the forward pass finds, which the traced function below cannot return.
        found: dict[str, Any] = {}

        @tf.custom_gradient
        def forward(*tensors: tf.Tensor):
            output, assigned = run(tensors)
            flat = tf.nest.flatten(output)
            found.update(output=output, flat=flat, assigned=list(assigned))
            results = [x for x in flat if tf.is_tensor(x)]

            def backward(*upstream: tf.Tensor) -> list[tf.Tensor | None]:
                return _gradients(run, tensors, upstream[: len(results)], sources)

            return [*results, *assigned.values()], backward

        tensors = [*given, *(tf.convert_to_tensor(v.value) for v in variables)]
        trained = [True] * len(given) + [v.trainable for v in variables]
        sources = [i for i, x in enumerate(tensors) if trained[i] and x.dtype.is_floating]
        results = iter(forward(*tensors))
        flat = [next(results) if tf.is_tensor(x) else x for x in found["flat"]]
        for place, value in zip(found["assigned"], results, strict=True):
            variables[place].assign(value)
        return tf.nest.pack_sequence_as(found["output"], flat)

    return call


def _gradients(
    run: Callable[[Sequence[tf.Tensor]], tuple[Any, Any]],
    tensors: Sequence[tf.Tensor],
    upstream: Sequence[Any],
    sources: Sequence[int],
) -> list[tf.Tensor | None]:
    """The gradients by `tensors[sources]`, None for the others, from those by the tensors in the output of `run`."""
    upstream = [tf.convert_to_tensor(gradient) for gradient in upstream]
    # The second run waits for the gradients that ask for it. Otherwise it could start at once, or TensorFlow would find
    # that the same tensors exist already. Control edges would do, but TensorFlow's optimiser of graphs makes cycles of
    # them.
    zero = tf.add_n([_zero_after(gradient) for gradient in upstream if gradient.dtype.is_floating])
    again = [x + tf.cast(zero, x.dtype) if x.dtype.is_floating else tf.identity(x) for x in tensors]
    with tf.GradientTape() as tape:
        watched = [again[i] for i in sources]
        tape.watch(watched)
        output, _ = run(again)
        results = [x for x in tf.nest.flatten(output) if tf.is_tensor(x)]
    pairs = [(x, gradient) for x, gradient in zip(results, upstream, strict=True) if x.dtype.is_floating]
    targets, gradients = [list(part) for part in zip(*pairs, strict=True)]
    by_place: list[tf.Tensor | None] = [None] * len(tensors)
    for place, gradient in zip(sources, tape.gradient(targets, watched, gradients), strict=True):
        by_place[place] = None if gradient is None else tf.convert_to_tensor(gradient)
    return by_place


def _zero_after(gradient: tf.Tensor) -> tf.Tensor:
    """A float32 zero that is computed from a gradient, which may be empty or not finite."""
    first = tf.reduce_max(tf.reshape(gradient, [-1])[:1])
    return tf.where(tf.equal(first, first), 0.0, math.nan)
