"""Adam for embedding tables."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.optimizers.adam_catch_up import caught_up, most_skipped
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer

CHUNK_ROWS = 1 << 16


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class RowSparseAdam(RowSparseOptimizer):
    """Adam that reads and writes only the rows of the batch.

    With g the gradient of a row, summed over the batch, t the number of the step, from 1, and element-wise arithmetic:

        m <- beta_1 m + (1 - beta_1) g
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, in the form before its section 2.1, as
    Keras' Adam. t counts the optimiser's steps, not a row's.

    For variables with dense gradients, and for tables whose rows all appear in every step, this is exactly dense Adam.
    It differs for absent rows: dense Adam lets their m and v decay and keeps moving them by m, which takes a pass over
    the whole table in each step.

    - Lazy, the default: an absent row keeps its w, m and v, and goes on from them when it comes again. Its averages
      cover only the steps in which it appeared. This is the usual way with tables, and often the better one.
    - With `catch_up`: a row that comes again first gets the updates that dense Adam would have made meanwhile, up to
      rounding and about 1e-7 of their sum (`adam_catch_up.caught_up`), at the present learning rate. So m and v are
      exactly dense Adam's, and so is w if the learning rate is constant and t is never set back. Until a row comes
      again, its w is out of date for every reader: call `bring_up_to_date` for the rows of a forward pass, or for the
      whole table before evaluation or export. Keras' `fit` does so at its end. A step costs up to ln(1e-7) / ln(beta_1
      / sqrt(beta_2)) passes over the rows of the batch, about 150 by default, and the state grows by one int64 per row.

    Args:
        learning_rate: alpha.
        beta_1: decay of the first moments, in [0, 1).
        beta_2: decay of the second moments, in [0, 1).
        epsilon: added to the root of v, above 0.
        catch_up: whether absent rows get dense Adam's updates later; needs beta_1 < sqrt(beta_2).
        name: the optimiser's name.

    Raises:
        ValueError: for decays or epsilon out of range, and as `RowSparseOptimizer` does.

    Example:
        >>> table = keras.Variable(tf.ones([3, 2]))
        >>> gradient = tf.IndexedSlices(tf.ones([1, 2]), indices=tf.constant([1]), dense_shape=tf.constant([3, 2]))
        >>> RowSparseAdam(0.1).apply([gradient], [table])
        >>> table.numpy().round(3)
        array([[1. , 1. ],
               [0.9, 0.9],
               [1. , 1. ]], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        catch_up: bool = False,
        name: str = "sparse_adam",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, name, **kwargs)
        if not 0.0 <= beta_1 < 1.0 or not 0.0 <= beta_2 < 1.0:
            raise ValueError(f"beta_1 and beta_2 must lie in [0, 1); received {beta_1} and {beta_2}")
        if epsilon <= 0.0:
            raise ValueError(f"epsilon must be positive; received {epsilon}")
        if catch_up:
            most_skipped(beta_1, beta_2)
        if catch_up and self.averages_rows:
            raise ValueError("use_ema averages the weights at each step, which catch_up computes later; choose one")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.catch_up = catch_up

    def slot_initializers(self) -> Mapping[str, str | keras.initializers.Initializer]:
        return {"momentum": "zeros", "velocity": "zeros"} | ({"last_step": "zeros"} if self.catch_up else {})

    def slot_shape(self, name: str, variable: keras.Variable) -> tuple[tuple[int, ...], str]:
        if name == "last_step":
            return tuple(variable.shape[:1]), "int64"
        return super().slot_shape(name, variable)

    def updated(
        self, g: tf.Tensor, w: tf.Tensor, slots: Sequence[tf.Tensor], learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        m, v, *last = slots
        step = tf.convert_to_tensor(self.iterations) + 1
        if last:
            w, m, v = self._caught_up(w, m, v, last[0], step - 1, learning_rate)
            last = [tf.fill(tf.shape(last[0]), step)]
        t = tf.cast(step, w.dtype)
        correction = tf.sqrt(1.0 - tf.pow(self.beta_2, t)) / (1.0 - tf.pow(self.beta_1, t))
        m += (g - m) * (1.0 - self.beta_1)
        v += (tf.square(g) - v) * (1.0 - self.beta_2)
        return w - m * (learning_rate * correction) / (tf.sqrt(v) + self.epsilon), (m, v, *last)

    def _caught_up(
        self, w: tf.Tensor, m: tf.Tensor, v: tf.Tensor, last: tf.Tensor, now: tf.Tensor, learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return caught_up(w, m, v, last, now, learning_rate, self.beta_1, self.beta_2, self.epsilon)

    def bring_up_to_date(self, variable: keras.Variable, rows: tf.Tensor | None = None) -> None:
        """Makes the updates that dense Adam has made to rows by now. Without `catch_up` it does nothing.

        Args:
            variable: one that the optimiser was built with.
            rows: row numbers in [0, V), any shape, repeats allowed; None means all rows, a part of the table at a time.

        Raises:
            ValueError: inside a replica of a strategy, whose copies of the table would diverge.
        """
        if not self.catch_up:
            return
        if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
            raise ValueError(
                "bring_up_to_date was called inside strategy.run, where each replica has rows of its own; call it "
                "outside, with the rows of all replicas"
            )
        if rows is not None:
            parts = [tf.unique(tf.reshape(rows, [-1]))[0]]
        else:
            # A scalar has no rows that could be absent.
            count = variable.shape[0] if variable.shape else 0
            parts = [tf.range(i, min(i + CHUNK_ROWS, count)) for i in range(0, count, CHUNK_ROWS)]
        with self._distribution_strategy.scope():
            for part in parts:
                bring = functools.partial(self._bring, self.index_of(variable))
                self.update_copies(self._distribution_strategy, bring, variable.value, (part,))

    def _bring(self, place: int, variable: tf.Variable, rows: tf.Tensor, *slots: tf.Variable) -> None:
        w, m, v, last = self.read((variable, *slots), rows)
        now = tf.convert_to_tensor(self.iterations)
        values = (*self._caught_up(w, m, v, last, now, tf.cast(self.learning_rate, w.dtype)), tf.maximum(last, now))
        self.write(place, (variable, *slots), values, rows, purpose=1)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Brings all rows of this optimiser's variables up to date; Keras' `fit` calls it at its end."""
        for variable in var_list:
            if self.trains(variable):
                self.bring_up_to_date(variable)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "catch_up": self.catch_up,
        }
