"""Activation checkpointing: the backward pass computes a layer's intermediate tensors again."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.devices.dense_shards import dense_shards_of, whole_weights

_traced = threading.local()
"""The shared weights that are whole, and the variables that get gradients; a replica is traced in its own thread."""


@contextlib.contextmanager
def with_whole_weights(weights: Sequence[keras.Variable]) -> Iterator[None]:
    """Within the block, these shared weights are whole, which is for the caller to see to."""
    before = getattr(_traced, "whole", None)
    _traced.whole = (before or frozenset()) | {id(v) for v in weights}
    try:
        yield
    finally:
        _traced.whole = before


def weights_to_gather(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The weights of a layer that the replicas share, but for those that `with_whole_weights` has."""
    whole = getattr(_traced, "whole", None) or ()
    return [v for v in layer.variables if dense_shards_of(v) is not None and id(v) not in whole]


@contextlib.contextmanager
def gradients_only_of(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """Within the block, recomputed layers have no gradients by other variables, which saves computing them."""
    _traced.trained = frozenset(id(v) for v in variables)
    try:
        yield
    finally:
        _traced.trained = None


@contextlib.contextmanager
def recomputing_all() -> Iterator[None]:
    """Within the block, every `ShardableLayer` is recomputed, as one is whose weights the replicas share."""
    _traced.all = True
    try:
        yield
    finally:
        _traced.all = False


def is_recomputed(layer: keras.layers.Layer) -> bool:
    """Whether a call of a layer that can be sharded is to be recomputed; within one that is, no other is."""
    outermost = getattr(_traced, "whole", None) is None
    return bool(weights_to_gather(layer)) or (outermost and getattr(_traced, "all", False))


def _gets_gradient(variable: keras.Variable) -> bool:
    trained = getattr(_traced, "trained", None)
    return variable.trainable and (trained is None or id(variable) in trained)


def recomputed(layer: keras.layers.Layer) -> Callable[..., Any]:
    """`layer` as a function that keeps only its inputs for the backward pass, which runs the layer once more.

    Training deep neural nets with sublinear memory cost (arXiv 1604.06174). Outputs and gradients are those of the
    layer itself. Its state, such as moving statistics and the seeds of dropout, changes in the forward pass only: the
    second run starts from the state that the first one found, so it draws the same noise, and what it would assign is
    dropped. Randomness that comes from anything but a Keras `SeedGenerator` of the layer differs between the two runs.

    Replicas exchange a batch's statistics in both runs. Weights that they share (`ShardableLayer`) are gathered in
    both, and their gradients are summed and scattered.

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
        shared = [(i, shards) for i, v in enumerate(variables) if (shards := dense_shards_of(v)) is not None]

        def run(tensors: Sequence[tf.Tensor]) -> tuple[Any, dict[int, tf.Tensor]]:
            """(the layer's output, the new values of the variables that it assigned, by place)."""
            passed = iter(tensors)
            arguments = [None if x is None else next(passed) for x in inputs]
            values = list(passed)
            parts = [values[i] for i, _ in shared]
            for (i, _), whole in zip(shared, whole_weights(parts, [shards for _, shards in shared]), strict=True):
                values[i] = whole
            # Tensors in place of variables, so that assignments stay in the scope and gradients are by the tensors.
            scope = keras.StatelessScope(list(zip(variables, values, strict=True)))
            with with_whole_weights([variables[i] for i, _ in shared]), scope:
                before = [scope.get_current_value(v) for v in variables]
                output = layer(*arguments, **options)
                after = [scope.get_current_value(v) for v in variables]
            return output, {i: new for i, (old, new) in enumerate(zip(before, after, strict=True)) if new is not old}

        # What the forward pass finds, which the traced function below cannot return.
        found: dict[str, Any] = {}

        @tf.custom_gradient
        def forward(*tensors: tf.Tensor):
            output, assigned = run(_after_inputs(tensors, len(given), [len(given) + i for i, _ in shared]))
            flat = tf.nest.flatten(output)
            found.update(output=output, flat=flat, assigned=list(assigned))
            results = [x for x in flat if tf.is_tensor(x)]

            def backward(*upstream: tf.Tensor) -> list[tf.Tensor | None]:
                return _gradients(run, tensors, upstream[: len(results)], sources)

            return [*results, *assigned.values()], backward

        parts_or_values = [v.value if (s := dense_shards_of(v)) is None else s.part(v) for v in variables]
        tensors = [*given, *map(tf.convert_to_tensor, parts_or_values)]
        trained = [True] * len(given) + [_gets_gradient(v) for v in variables]
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


def _after_inputs(tensors: Sequence[tf.Tensor], inputs: int, later: Sequence[int]) -> list[tf.Tensor]:
    """The tensors, of which those at the places `later` wait for the first `inputs`, so that none is gathered early."""
    given = [x for x in tensors[:inputs] if x.dtype.is_floating]
    found = list(tensors)
    if given and later:
        zero = tf.add_n([_zero_after(x) for x in given])
        for i in later:
            found[i] = found[i] + tf.cast(zero, found[i].dtype)
    return found


def _zero_after(gradient: tf.Tensor) -> tf.Tensor:
    """A float32 zero that is computed from a gradient, which may be empty or not finite."""
    first = tf.reduce_max(tf.reshape(gradient, [-1])[:1])
    return tf.where(tf.equal(first, first), 0.0, math.nan)
