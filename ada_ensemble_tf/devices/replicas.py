"""Sums over all replicas of a training step.

Under a `tf.distribute` strategy, each replica has a part of the global batch. A mean over rows may stay a mean over the
replica's own rows, because training minimises the mean of the replicas' losses. Other quantities, such as a batch's
variance or the product of two means, are computed from sums over the global batch, so that n replicas compute what one
would.

Without a strategy, and outside its replicas (in inference, say), there is one replica, and these functions add nothing
to the graph. Gradients flow through them.
"""

import tensorflow as tf


def count() -> int:
    """How many replicas take part in the step that is being traced."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def index() -> tf.Tensor:
    """This replica's number among all, from 0: an int32 scalar."""
    return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)


def global_sum(x: tf.Tensor) -> tf.Tensor:
    """`x` summed over the replicas, of the same shape on each."""
    if count() == 1:
        return x
    # The identity is on the replica's device; an argument of the traced function may be elsewhere.
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(x))


def global_sums(*tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Several tensors of one type, each summed over the replicas, all in one exchange."""
    if count() == 1:
        return tensors
    sizes = [tensor.shape.num_elements() for tensor in tensors]
    total = global_sum(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0))
    parts = tf.split(total, sizes)
    return tuple(tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True))


def of_all(x: tf.Tensor) -> tf.Tensor:
    """Every replica's x: `[R, ..]`."""
    if count() == 1:
        return x[None]
    mine = tf.reshape(tf.range(count()) == index(), [-1] + [1] * x.shape.rank)
    return global_sum(tf.where(mine, x[None], tf.zeros_like(x)[None]))


def global_min(x: tf.Tensor) -> tf.Tensor:
    """The element-wise minimum of the replicas' x."""
    return x if count() == 1 else tf.reduce_min(of_all(x), axis=0)


def to_send(gradient: tf.Tensor | tf.IndexedSlices | None, parts: int | None) -> tf.Tensor | tf.IndexedSlices | None:
    """A gradient in the form that replicas can exchange: a table's has `parts` rows, unless `parts` is None.

    Replicas exchange the rows of a table's gradient. Between machines TensorFlow needs the same number of rows in every
    step of a graph's loop, but that number varies where fields have several values. Zeros for the first row fill up
    the rest.
    """
    if count() == 1 or not isinstance(gradient, tf.IndexedSlices) or parts in (None, gradient.indices.shape[0]):
        return gradient
    rows, values = gradient.indices, gradient.values
    missing = parts - tf.size(rows)
    rows = tf.ensure_shape(tf.concat([rows, tf.fill([missing], rows[0])], axis=0), [parts])
    values = tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))
    return tf.IndexedSlices(tf.ensure_shape(values, [parts, *values.shape[1:]]), rows, gradient.dense_shape)
