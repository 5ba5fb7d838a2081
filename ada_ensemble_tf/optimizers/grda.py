"""Generalised regularised dual averaging."""

import keras
import tensorflow as tf

from ada_ensemble_tf.optimizers.sparse import sum_duplicates


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GRDA(keras.optimizers.Optimizer):
    """SGD whose weights are shrunk towards zero by a threshold that grows with the steps: it prunes as it trains.

    With g the gradient of a weight and t the number of the step, from 1:

        v <- v - learning_rate g,                           v = w at first
        tau = c learning_rate^(1/2 + mu) t^mu
        w = sign(v) max(|v| - tau, 0)

    gRDA: Chao et al., "Directional pruning of deep neural networks", NeurIPS 2020 (arXiv 2006.09358). t counts once a
    step for all variables, and with a schedule the learning rate in tau is that of the step.

    Of a table with a row-sparse gradient only rows with a gradient are read and written. Their v changes and tau is
    the step's; a row that does not come keeps its w, and is shrunk by all that tau has grown once it comes again.

    Args:
        learning_rate: gamma; as of SGD.
        c: how sparse from the start, at least 0.
        mu: how sparse in the end, in [0, 1]; the paper's theory is for 1/2 to 1.
        name: of the optimiser.

    Raises:
        ValueError: for a c or mu out of range.
    """

    def __init__(self, learning_rate: float = 0.005, c: float = 0.005, mu: float = 0.7, name: str = "grda", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        if c < 0.0:
            raise ValueError(f"c must not be negative; received {c}")
        if not 0.0 <= mu <= 1.0:
            raise ValueError(f"mu must lie in [0, 1]; received {mu}")
        self.c = c
        self.mu = mu

    def build(self, variables):
        if self.built:
            return
        self._v = []
        # Lifted out of a graph that may be traced twice: v must keep what it is given here.
        with tf.init_scope():
            super().build(variables)
            for variable in variables:
                self._v.append(self.add_variable_from_reference(variable, name="v"))
                self._v[-1].assign(variable)

    def update_step(self, gradient, variable, learning_rate):
        """Updates the rows that `gradient` has, all rows if it is dense."""
        v_variable = self._v[self._get_variable_index(variable)]
        rate = tf.cast(learning_rate, variable.dtype)
        # Keras counts the step after all variables have had it.
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        threshold = self.c * rate ** (0.5 + self.mu) * step**self.mu
        if isinstance(gradient, tf.IndexedSlices):
            gradient = sum_duplicates(gradient)
            rows, g, v = gradient.indices, gradient.values, tf.gather(v_variable.value, gradient.indices)
        else:
            rows, g, v = None, gradient, tf.convert_to_tensor(v_variable)
        v -= rate * g
        w = tf.sign(v) * tf.maximum(tf.abs(v) - threshold, 0.0)
        for target, value in ((variable, w), (v_variable, v)):
            self.assign(target, value if rows is None else tf.IndexedSlices(value, rows))

    def get_config(self):
        return super().get_config() | {"c": self.c, "mu": self.mu}
