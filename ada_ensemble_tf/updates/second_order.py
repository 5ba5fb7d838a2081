"""The gate gradient of bi-level training with its second-order term."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from ada_ensemble_tf.keras_private import random_states
from ada_ensemble_tf.optimizers.sparse import sum_duplicates
from data_pipelines.read.inputs import Inputs, ids_of

if TYPE_CHECKING:
    from ada_ensemble_tf.updates.bilevel import BilevelModel

RELATIVE_STEP = 0.01
"""DARTS' finite-difference step, times the norm of the direction (arXiv 1806.09055, section 2.3)."""


def second_order_gate_gradients(
    model: "BilevelModel", train: tuple[Any, ...], gate: tuple[Any, ...], xi: float
) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
    """(gradients, logs) for the gates, of the loss on `gate` rows at W - xi * grad_W of the loss on `train` rows.

    W' is that virtual step and v = grad_W' L_gate(W', alpha). DARTS (arXiv 1806.09055), equations 7 and 8:

        grad_alpha L_gate(W', alpha)
            - xi * (grad_alpha L_train(W + e v, alpha) - grad_alpha L_train(W - e v, alpha)) / 2e

    with e = 0.01 / |v|. The two training passes draw the same random numbers; otherwise the gates' jitter would drown
    their difference. W is restored exactly.

    Args:
        model: a `BilevelModel`.
        train: (inputs, labels `[B]`) of the training split, with or without weights `[B]`.
        gate: the same of the gate split.
        xi: step size of the virtual update, above 0.
    """
    gate_variables = [model.gate_variables]
    weights = model.embedding_variables + model.weight_variables
    with _restored(model, weights, [train[0], gate[0]]):
        (train_gradients,), _ = _gradients(model, train, [weights], "gate update, training loss", "weights")
        _shift(weights, train_gradients, -xi)
        groups = [*gate_variables, weights]
        (gradients, direction), logs = _gradients(model, gate, groups, "gate update", "gates")
    direction = [sum_duplicates(d) if isinstance(d, tf.IndexedSlices) else d for d in direction]
    squares = [
        tf.reduce_sum(tf.square(d.values if isinstance(d, tf.IndexedSlices) else d)) for d in direction if d is not None
    ]
    step = RELATIVE_STEP / tf.maximum(tf.sqrt(tf.add_n(squares)), 1e-12)
    seeds = random_states(model)
    states = [tf.identity(tf.convert_to_tensor(state)) for state in seeds]
    shifted = []
    for sign in (1.0, -1.0):
        for seed, state in zip(seeds, states, strict=True):
            seed.assign(state)
        with _restored(model, weights, [gate[0]]):
            _shift(weights, direction, sign * step)
            stage = "gate update, second order"
            shifted.append(_gradients(model, train, gate_variables, stage, "weights")[0][0])
    plus, minus = shifted
    return [g - xi * (p - m) / (2.0 * step) for g, p, m in zip(gradients, plus, minus, strict=True)], logs


def _gradients(model: "BilevelModel", rows: tuple[Any, ...], *how: Any) -> tuple[list[list[Any]], Any]:
    """`compute_gradients` on (inputs, labels) with or without weights."""
    inputs, labels, *weights = rows
    return model.compute_gradients(inputs, labels, *how, *weights)


def _shift(variables: Sequence[keras.Variable], gradients: Sequence[Any], scale: tf.Tensor | float) -> None:
    for variable, gradient in zip(variables, gradients, strict=True):
        if isinstance(gradient, tf.IndexedSlices):
            variable.value.scatter_add(tf.IndexedSlices(scale * gradient.values, gradient.indices))
        elif gradient is not None:
            variable.assign_add(scale * gradient)


@contextlib.contextmanager
def _restored(model: "BilevelModel", weights: Sequence[keras.Variable], batches: Sequence[Inputs]) -> Iterator[None]:
    """Restores `weights` after the block.

    Of the embedding tables, only the rows that `batches` read are saved, so no other rows may change.
    """
    tables = {id(v) for v in model.embedding_variables}
    ids = [ids_of(inputs) for inputs in batches]
    rows = tf.unique(tf.concat([tf.boolean_mask(i, i >= 0) for i in ids], axis=0))[0]
    saved = [tf.gather(v.value, rows) if id(v) in tables else tf.identity(v.value) for v in weights]
    yield
    for variable, value in zip(weights, saved, strict=True):
        if id(variable) in tables:
            variable.value.scatter_update(tf.IndexedSlices(value, rows))
        else:
            variable.assign(value)
