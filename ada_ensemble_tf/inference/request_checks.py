"""Checks requests inside the graph, so that a bad one gives a clear error instead of a wrong score."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from data_pipelines.fields.schema import PADDING, Schema
from data_pipelines.read.inputs import Inputs, ids_of, values_of


def check(holds: tf.Tensor, message: Callable[[], tf.Tensor]) -> tf.Operation:
    """Makes an operation that fails with a message unless `holds`, a boolean scalar, is true.

    Args:
        holds: what should be true.
        message: makes a string scalar; runs only if the check fails.
    """
    return tf.cond(
        holds,
        lambda: tf.constant(True),
        lambda: _failure(message()),
    )


def number_of_rows(columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """B of text columns `[B]`. If their lengths differ, an error names the first column that differs."""
    names = list(columns)
    sizes = tf.concat(tf.shape_n(list(columns.values())), axis=0)

    def message():
        odd = tf.argmax(sizes != sizes[0])
        sizes_text = tf.strings.as_string(sizes)
        return tf.strings.join(
            [
                "column ", tf.gather(names, odd), ": ", tf.gather(sizes_text, odd), " rows, but column ", names[0],
                " has ", sizes_text[0], "; every column needs a text for each row, empty where it is missing",
            ]
        )  # fmt: skip

    with tf.control_dependencies([check(tf.reduce_all(sizes == sizes[0]), message)]):
        return tf.identity(sizes[0])


def checked_inputs(inputs: Inputs, schema: Schema) -> Inputs:
    """Passes inputs on if every id is a row of its field and every value is finite; else an error names the field.

    Without the check, an id of another field would give a wrong score, and on GPUs an id outside the table reads zeros.
    """
    ids = ids_of(inputs)
    names, low, high, paddable = [], [], [], []
    for field in schema.fields:
        names += [field.name] * field.width
        low += [field.offset] * field.width
        high += [field.offset + field.size] * field.width
        # A list always has a first value, if only the missing one.
        paddable += [False] + [True] * (field.width - 1)
    fits = (ids >= low) & (ids < high)
    if any(paddable):
        fits |= (ids == PADDING) & paddable

    def id_message():
        column = tf.argmax(tf.reduce_any(~fits, axis=0))
        wrong = tf.boolean_mask(ids[:, column], ~fits[:, column])[0]
        parts = ["field ", tf.gather(names, column), ": id ", tf.strings.as_string(wrong), " is not one of its rows, "]
        parts += [tf.strings.as_string(tf.gather(low, column)), " to "]
        return tf.strings.join([*parts, tf.strings.as_string(tf.gather(high, column) - 1)])

    checks = [check(tf.reduce_all(fits), id_message)]
    if schema.value_fields:
        finite = tf.math.is_finite(values_of(inputs))
        value_names = [schema.fields[i].name for i in schema.value_fields]

        def value_message():
            column = tf.argmax(tf.reduce_any(~finite, axis=0))
            return tf.strings.join(["field ", tf.gather(value_names, column), ": a value is not finite"])

        checks.append(check(tf.reduce_all(finite), value_message))
    with tf.control_dependencies(checks):
        return tf.nest.map_structure(tf.identity, inputs)


def _failure(message: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tf.constant(False)
