"""Moving rows to the experts that their gates chose, and back."""

from collections.abc import Iterable, Sequence

import tensorflow as tf

from ada_ensemble_tf.layers.precision import upcast


@tf.custom_gradient
def take_rows(x: tf.Tensor, rows: tf.Tensor):
    """The rows `[N]` of x `[B, M]`: `[N, M]`.

    The gradient of `tf.gather` is a `tf.IndexedSlices`, which the gradients of most preceding operations cannot take.
    The gradient here is dense.

    Example:
        >>> take_rows(tf.constant([[1.0], [2.0], [3.0]]), tf.constant([2, 0])).numpy()
        array([[3.],
               [1.]], dtype=float32)
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.cast(tf.math.unsorted_segment_sum(upcast(upstream), rows, tf.shape(x)[0]), upstream.dtype), None

    return tf.gather(x, rows), gradient


class SparseDispatcher:
    """Sends each row to the experts whose gate is not zero and sums what comes back, weighted by the gates.

    AdaEnsemble (arXiv 2301.08353), section 3.3.3, equation 12: y = sum_j g_j E_j(x). An expert sees only its own rows,
    so its cost depends on their number, which may be 0.

    Args:
        gates: `[B, E]`, non-negative.

    Example:
        >>> dispatcher = SparseDispatcher(tf.constant([[0.5, 0.5], [0.0, 1.0]]))
        >>> rows = dispatcher.dispatch(tf.constant([[1.0], [2.0]]))
        >>> rows[0].numpy(), rows[1].numpy()
        (array([[1.]], dtype=float32), array([[1.],
               [2.]], dtype=float32))
        >>> dispatcher.combine([10 * rows[0], rows[1]]).numpy()
        array([[5.5],
               [2. ]], dtype=float32)
    """

    def __init__(self, gates: tf.Tensor):
        self.num_rows = tf.shape(gates)[0]
        self.columns = tf.unstack(gates, axis=1)
        self.rows = [tf.where(column > 0.0)[:, 0] for column in self.columns]

    def dispatch(self, x: tf.Tensor, experts: Iterable[int] | None = None) -> dict[int, tf.Tensor]:
        """The rows of x `[B, M]` that go to each expert, by expert and in order: `[B_j, M]`.

        Args:
            x: what to dispatch.
            experts: the experts that read x; all by default.
        """
        readers = list(range(len(self.rows)) if experts is None else experts)
        if not readers:
            return {}
        # One gather for all experts, so that the gradient is one sum instead of one per expert.
        taken = take_rows(x, tf.concat([self.rows[j] for j in readers], axis=0))
        parts = tf.split(taken, tf.stack([tf.shape(self.rows[j])[0] for j in readers]), num=len(readers))
        return dict(zip(readers, parts, strict=True))

    def combine(self, outputs: Sequence[tf.Tensor], weights: tf.Tensor | None = None) -> tf.Tensor:
        """`[B, M]`: the experts' outputs, each `[B_j, M]`, weighted by their gates and summed in row order.

        The sum of bfloat16 outputs is float32.

        Args:
            outputs: one an expert.
            weights: `[B, E]`, other weights than the gates.
        """
        columns = self.columns if weights is None else tf.unstack(weights, axis=1)
        weighted = [
            upcast(output) * tf.gather(column, rows)[:, None]
            for output, column, rows in zip(outputs, columns, self.rows, strict=True)
        ]
        return tf.math.unsorted_segment_sum(tf.concat(weighted, axis=0), tf.concat(self.rows, axis=0), self.num_rows)

    def routed(self, expert: int) -> tf.Tensor | None:
        """None: all rows that an expert receives are routed to it."""
        return None

    def counts(self) -> tf.Tensor:
        """`[E]` float32: how many rows went to each expert."""
        return tf.cast(tf.stack([tf.shape(rows)[0] for rows in self.rows]), tf.float32)
