"""Moving averages of the rows of tables, at the cost of the rows of a batch."""

from collections.abc import Callable

import keras
import tensorflow as tf


class AveragedRows:
    """What a row-sparse optimiser needs to keep an exponential moving average of its variables.

    With w_t the weights after update t, from the initial w_0 on:

        a_0 = w_0,    a_t = momentum a_(t-1) + (1 - momentum) w_t

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30 (1992), in
    the exponential form that Keras calls EMA. A row keeps its w between the updates in which it has a gradient; over k
    such steps a - w shrinks by momentum^k. So its average is brought up to date when the row comes again, and that of
    all rows when someone asks: exactly the average of a dense optimiser, up to rounding.
    """

    iterations: keras.Variable
    assign: Callable[..., None]
    add_slot: Callable[..., keras.Variable]
    read: Callable[..., list[tf.Tensor]]
    index_of: Callable[..., int]
    _average_slots: list[list[keras.Variable]]

    def set_average(self, use_ema: bool, momentum: float) -> None:
        """Turns the averages on or off. ValueError: the momentum is out of range."""
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"ema_momentum must lie in [0, 1); received {momentum}")
        self.averages_rows = use_ema
        self.row_momentum = momentum

    def average_slots(self, variable: keras.Variable) -> list[keras.Variable]:
        """The moving average of a variable's rows and the step that each row's is of; empty without `use_ema`."""
        return self._average_slots[self.index_of(variable)] if self.averages_rows else []

    def make_average(self, variable: keras.Variable, w: tf.Tensor) -> list[keras.Variable]:
        """The state that `average_slots` returns, for a variable that is w."""
        shape = tuple(variable.shape)
        average = self.add_slot(variable, "average", "zeros", (shape, w.dtype.name))
        average.assign(w)
        return [average, self.add_slot(variable, "average_step", "zeros", (shape[:1], "int64"))]

    def average_until_now(self, w: tf.Tensor, rows: tf.Tensor | None, average: tf.Variable, last: tf.Variable) -> None:
        """Lets the average of rows follow w up to this update, before which they have been w since step `last`."""
        values, steps = self.read((average, last), rows)
        now = tf.cast(self.iterations.value, steps.dtype)
        followed, reached = self._followed(values, w, now - steps), tf.fill(tf.shape(steps), now)
        for target, value in ((average, followed), (last, reached)):
            self.assign(target, value if rows is None else tf.IndexedSlices(value, rows))

    def _followed(self, average: tf.Tensor, w: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        """The average of rows after a number of steps, each row's own, in which they were w."""
        column = tf.concat([tf.shape(steps), tf.ones([w.shape.rank - steps.shape.rank], tf.int32)], axis=0)
        share = tf.pow(tf.constant(self.row_momentum, w.dtype), tf.cast(tf.reshape(steps, column), w.dtype))
        return w + (average - w) * share

    def averaged(self, variable: keras.Variable) -> tf.Tensor:
        """The moving average of all rows of a variable, up to the last update."""
        w, average, last = self.read([v.value for v in (variable, *self.average_slots(variable))])
        return self._followed(average, w, tf.cast(self.iterations.value, last.dtype) - last)
