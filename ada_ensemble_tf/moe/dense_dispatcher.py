"""The dense twin of the sparse dispatcher."""

from collections.abc import Iterable, Sequence
from typing import Literal

import tensorflow as tf

from ada_ensemble_tf.layers.precision import upcast

Weighting = Literal["pre", "post"]


class DenseDispatcher:
    """Sends every row to every expert and sums what comes back, weighted by the gates.

    The result y = sum_j g_j E_j(x) is that of `SparseDispatcher` (AdaEnsemble, arXiv 2301.08353, equation 12). Every
    expert runs on every row, but no rows are gathered or scattered, which pays off if few gates are zero.

    Args:
        gates: `[B, E]`, non-negative.
        weighting: "post" weights the outputs. "pre", an option of AdaEnsemble's original release, weights what experts
            read instead, E_j(g_j x0, g_j x), and sums the outputs of those that a row keeps as they are.

    Example:
        >>> dispatcher = DenseDispatcher(tf.constant([[0.5, 0.5], [0.0, 1.0]]))
        >>> rows = dispatcher.dispatch(tf.constant([[1.0], [2.0]]))
        >>> rows[0].numpy(), rows[1].numpy()
        (array([[1.],
               [2.]], dtype=float32), array([[1.],
               [2.]], dtype=float32))
        >>> dispatcher.combine([10 * rows[0], rows[1]]).numpy()
        array([[5.5],
               [2. ]], dtype=float32)
    """

    def __init__(self, gates: tf.Tensor, weighting: Weighting = "post"):
        self.gates = gates
        self.weighting = weighting

    def dispatch(self, x: tf.Tensor, experts: Iterable[int] | None = None) -> dict[int, tf.Tensor]:
        """x `[B, M]` for each expert, times its gate with "pre".

        Args:
            x: what to dispatch.
            experts: the experts that read x; all by default.
        """
        readers = range(self.gates.shape[1]) if experts is None else experts
        if self.weighting == "post":
            return dict.fromkeys(readers, x)
        return {j: tf.cast(upcast(x) * self.gates[:, j, None], x.dtype) for j in readers}

    def combine(self, outputs: Sequence[tf.Tensor], weights: tf.Tensor | None = None) -> tf.Tensor:
        """`[B, M]`: the experts' outputs, each `[B, M]`, weighted by their gates and summed; bfloat16 in float32.

        Args:
            outputs: one an expert.
            weights: `[B, E]`, other weights than the gates; "pre" has none.
        """
        if self.weighting == "pre":
            weights = tf.cast(self.gates > 0.0, self.gates.dtype)
        columns = tf.unstack(self.gates if weights is None else weights, axis=1)
        return tf.add_n([upcast(output) * column[:, None] for output, column in zip(outputs, columns, strict=True)])

    def routed(self, expert: int) -> tf.Tensor | None:
        """`[B]` booleans: which of the rows that an expert receives are routed to it."""
        return self.gates[:, expert] > 0.0

    def counts(self) -> tf.Tensor:
        """`[E]` float32: how many rows went to each expert, which is all of them."""
        return tf.fill([self.gates.shape[1]], tf.cast(tf.shape(self.gates)[0], tf.float32))
