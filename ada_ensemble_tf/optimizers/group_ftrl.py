"""Group FTRL: follow the regularised leader, with rows of a table as groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.keras_private import is_scheduled
from ada_ensemble_tf.optimizers.row_sparse import RowSparseOptimizer


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class GroupFtrl(RowSparseOptimizer):
    """FTRL-Proximal whose L1 term acts on whole rows, so that rows of little use become exactly zero.

    With g the gradient of a row of width d, summed over the batch, and element-wise arithmetic:

        sigma = (sqrt(n + g^2) - sqrt(n)) / learning_rate
        z <- z + g - sigma w
        n <- n + g^2
        w = 0                                                                     if |z| <= l1 sqrt(d)
            -z (1 - l1 sqrt(d) / |z|) / ((beta + sqrt(n)) / learning_rate + l2)   else

    FTRL-Proximal: McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013, algorithm 1, which this
    equals for d = 1. The group form: Ni et al., "Feature selection for Facebook feed ranking system via a
    group-sparsity- regularized training algorithm", CIKM 2019. AdaEnsemble (arXiv 2301.08353, section 4.1.4) and
    xDeepInt (arXiv 2301.01089) train embeddings with it.

    With a learning-rate schedule, sigma has the rates of this step and of the row's previous one, r and s:

        sigma = (beta + sqrt(n + g^2)) / r - (beta + sqrt(n)) / s

    This is algorithm 1 with 1 / eta_t = (beta + sqrt(n_t)) / r_t, so a change of the rate moves no row by itself.

    A row without a gradient does not change, and would not change if all rows were updated either: this equals the
    dense algorithm exactly.

    Args:
        learning_rate: alpha.
        beta: added to the root of n; large values slow the first steps of a row.
        l1: group-lasso strength.
        l2: ridge strength.
        keep_initial: start z where the formula gives the initial value of w, instead of at 0. From 0, a row's first
            update discards most of its random initial value.
        name: the optimiser's name.

    Raises:
        ValueError: for negative strengths, a variable that is not a `[V, d]` matrix, and as `RowSparseOptimizer` does.

    Example:
        >>> table = keras.Variable(tf.ones([3, 2]))
        >>> gradient = tf.IndexedSlices(tf.ones([1, 2]), indices=tf.constant([1]), dense_shape=tf.constant([3, 2]))
        >>> GroupFtrl(keep_initial=True).apply([gradient], [table])
        >>> table.numpy().round(3)
        array([[1.  , 1.  ],
               [0.98, 0.98],
               [1.  , 1.  ]], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: float = 0.02,
        beta: float = 1e-4,
        l1: float = 1e-3,
        l2: float = 1e-3,
        keep_initial: bool = False,
        name: str = "group_ftrl",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, name, **kwargs)
        if min(beta, l1, l2) < 0.0:
            raise ValueError(f"beta, l1 and l2 must not be negative; received {beta}, {l1} and {l2}")
        self.beta = beta
        self.l1 = l1
        self.l2 = l2
        self.keep_initial = keep_initial

    def slot_initializers(self) -> Mapping[str, str | keras.initializers.Initializer]:
        return {"z": "zeros", "n": "zeros"}

    def started(self, w: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return {"z": self._z_of(w)} if self.keep_initial else {}

    def adopted(self, w: tf.Tensor) -> Mapping[str, tf.Tensor]:
        # From z = 0 the first update would discard what was learned.
        return {"z": self._z_of(w)}

    def check(self, variable: keras.Variable) -> None:
        if len(variable.shape) != 2:
            raise ValueError(f"GroupFtrl works on [V, d] tables; {variable.path} has shape {variable.shape}")

    def _norm_and_threshold(self, z: tf.Tensor) -> tuple[tf.Tensor, float]:
        """The norm of each group of z, and the threshold up to which a group becomes zero."""
        # Without l1 a norm decides nothing, and the replicas that share a table need not exchange it.
        if self.l1 and self.traced.part is not None:
            return self.traced.part.norms(z), self.l1 * self.traced.part.dimension**0.5
        return tf.norm(z, axis=1, keepdims=True), self.l1 * z.shape[1] ** 0.5

    def _z_of(self, w: tf.Tensor) -> tf.Tensor:
        """The z for which the formula gives w while n is 0."""
        norm, threshold = self._norm_and_threshold(w)
        ridge = self.beta / tf.cast(self.learning_rate, w.dtype) + self.l2
        return -w * (ridge + tf.math.divide_no_nan(threshold, norm))

    def rescale_state(self, learning_rate: float) -> None:
        """Changes z so that it gives the present w under a new `learning_rate`, which the caller sets.

        w is a function of z and the rate: with the old z, the next update of a row would rescale all of it. Rows that
            are zero, or still have z = 0, do not change.
        """
        for variable in self._trainable_variables:
            z_variable, n_variable = self.slots(variable)
            w, z, n = self.read([v.value for v in (variable, z_variable, n_variable)])
            z_variable.assign(self._rescaled(w, z, n, learning_rate))

    def _rescaled(self, w: tf.Tensor, z: tf.Tensor, n: tf.Tensor, learning_rate: tf.Tensor | float) -> tf.Tensor:
        """The z for which the formula gives w under a learning rate; z itself where w does not come from it."""
        shrunk = -w * ((self.beta + tf.sqrt(n)) / learning_rate + self.l2)
        norm, threshold = self._norm_and_threshold(shrunk)
        rescaled = shrunk * (1.0 + tf.math.divide_no_nan(threshold, norm))
        return tf.where(self._norm_and_threshold(z)[0] > threshold, rescaled, z)

    def updated(
        self, g: tf.Tensor, w: tf.Tensor, slots: Sequence[tf.Tensor], learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        z, n = slots
        if is_scheduled(self):
            z = self._rescaled(w, z, n, learning_rate)
        new_n = n + tf.square(g)
        root = tf.sqrt(new_n)
        new_z = z + g - (root - tf.sqrt(n)) / learning_rate * w
        norm, threshold = self._norm_and_threshold(new_z)
        shrunk = new_z * (1.0 - tf.math.divide_no_nan(threshold, norm))
        new_w = -shrunk / ((self.beta + root) / learning_rate + self.l2)
        return tf.where(norm > threshold, new_w, tf.zeros_like(new_w)), (new_z, new_n)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta": self.beta,
            "l1": self.l1,
            "l2": self.l2,
            "keep_initial": self.keep_initial,
        }
