"""A dense layer with hierarchically routed experts of rank 1."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.gates import GateReport, gate_report
from ada_ensemble_tf.gates.top_k import top_k_gates
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.losses import router_z_loss


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class LowRankExperts(keras.layers.Layer):
    """y = W0 x + b + sum_l U_l (s_l o V_l x): L levels of rank-1 experts beside a dense layer (HiLoMoE).

    Level l has R experts u_k v_k^T. Its router reads the scores of the levels before, not their outputs:

        q_1 = P x
        s_l = softmax(V_l q_l / sqrt(X)), where k > 0 over a row's k largest logits only
        q_{l+1} = q_l + sum_k s_{l,k} v_{l,k}

    V holds both the vectors that experts read x with and the routers' keys. No level needs another's output, so
    `parallel` computes all levels at once. It needs neither q nor a second product with V: V_l q_l is (V_l P) x +
    sum_{j<l} V_l V_j^T s_j, where V P and V V^T are products of weights alone, computed once per batch. Without
    `parallel`, levels run in a loop, as in the formulas. Both give the same numbers.

    After the abstract of HiLoMoE (arXiv 2510.10432): rank-1 experts, several levels, routing by the scores of prior
    levels, parallel execution. The formulas are inferred, in particular V as the keys, the projection P = B A of rank
    `query_rank`, and the initial values. U starts at 0, so the layer starts as its dense base. V starts with unit
    variance, as 1 / sqrt(X) assumes, so routers tell rows apart from the start.

    Args:
        units: H.
        num_experts: R, experts a level; the r of W0's low-rank update is L * R.
        num_levels: L.
        k: experts kept per row and level; 0 keeps all. V x is computed for all experts anyway: at rank 1, gathering an
            expert's row costs as much as the product, so a small k saves no FLOPs.
        query_rank: rank of P; a full P would cost as much as the dense layer.
        parallel: whether all levels are computed at once, see above.

    Call arguments:
        x: `[B, X]`, B may be 0.

    Returns:
        (`[B, H]`, L GateReports).

    Raises:
        ValueError: for arguments out of range, named in the message.

    Example:
        >>> output, reports = LowRankExperts(units=4)(tf.ones([2, 6]))
        >>> output.shape, len(reports)
        (TensorShape([2, 4]), 3)
    """

    def __init__(
        self,
        units: int,
        num_experts: int = 8,
        num_levels: int = 3,
        k: int = 0,
        query_rank: int = 8,
        parallel: bool = True,
        **kwargs: Any,
    ):
        # Routers read x in full precision; only the dense base casts it.
        super().__init__(autocast=False, **kwargs)
        sizes = {"units": units, "num_experts": num_experts, "num_levels": num_levels, "query_rank": query_rank}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1; received {size}")
        if not 0 <= k <= num_experts:
            raise ValueError(f"k must lie between 1 and num_experts={num_experts}, or be 0 for all; received {k}")
        self.units = units
        self.num_experts = num_experts
        self.num_levels = num_levels
        self.k = k
        self.query_rank = query_rank
        self.parallel = parallel
        self.base = Dense(units, name="base")

    def build(self, x_shape: Shape) -> None:
        width, experts = x_shape[-1], self.num_levels * self.num_experts
        self.base.build(tuple(x_shape))
        # Only U is named a kernel, so that the models' l2 term leaves out the others: the norms of V and P act as the
        # routers' temperature.
        unit_variance = keras.initializers.RandomNormal(stddev=1.0)
        self.keys = self._add_float("keys", (width, experts), unit_variance)
        self.query_in = self._add_float("query_in", (width, self.query_rank), "lecun_normal")
        self.query_out = self._add_float("query_out", (self.query_rank, width), "lecun_normal")
        self.output_kernel = self._add_float("output_kernel", (experts, self.units), "zeros")

    def _add_float(self, name: str, shape: Shape, initializer: str | keras.initializers.Initializer) -> keras.Variable:
        """A weight that mixed precision does not round."""
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        experts, logits, scores = (self._in_parallel if self.parallel else self._in_sequence)(upcast(x))
        reports = [self._report(one, of_level) for one, of_level in zip(logits, scores, strict=True)]
        return tf.cast(upcast(self.base(x)) + experts, self.compute_dtype), reports

    def _in_parallel(self, x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        keys, query_in, query_out = map(tf.convert_to_tensor, (self.keys, self.query_in, self.query_out))
        down = tf.matmul(x, tf.concat([keys, query_in], axis=1))
        values, query = tf.split(down, [keys.shape[1], self.query_rank], axis=1)
        # Products of weights alone: row i of each is what key i or query unit i adds to each expert's logit.
        from_keys = tf.matmul(keys, keys, transpose_a=True)
        from_query = tf.matmul(query, tf.matmul(query_out, keys))
        logits: list[tf.Tensor] = []
        scores: list[tf.Tensor] = []
        for level in range(self.num_levels):
            here = self._columns(level)
            one = from_query[:, here]
            if scores:
                one += tf.matmul(tf.concat(scores, axis=1), from_keys[: here.start, here])
            logits.append(self._scaled(one))
            scores.append(self._scores(logits[-1]))
        return tf.matmul(tf.concat(scores, axis=1) * values, self.output_kernel), logits, scores

    def _in_sequence(self, x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        query = tf.matmul(tf.matmul(x, self.query_in), self.query_out)
        total: tf.Tensor | float = 0.0
        logits: list[tf.Tensor] = []
        scores: list[tf.Tensor] = []
        for level in range(self.num_levels):
            here = self._columns(level)
            keys = tf.convert_to_tensor(self.keys)[:, here]
            logits.append(self._scaled(tf.matmul(query, keys)))
            scores.append(self._scores(logits[-1]))
            values = scores[-1] * tf.matmul(x, keys)
            total += tf.matmul(values, tf.convert_to_tensor(self.output_kernel)[here])
            if level + 1 < self.num_levels:
                query += tf.matmul(scores[-1], keys, transpose_b=True)
        return total, logits, scores

    def _columns(self, level: int) -> slice:
        return slice(level * self.num_experts, (level + 1) * self.num_experts)

    def _scaled(self, products: tf.Tensor) -> tf.Tensor:
        return products / self.keys.shape[0] ** 0.5

    def _scores(self, logits: tf.Tensor) -> tf.Tensor:
        return top_k_gates(logits, self.k)[0] if self.k else tf.nn.softmax(logits)

    def _report(self, logits: tf.Tensor, scores: tf.Tensor) -> GateReport:
        k, temperature = self.k or self.num_experts, self.keys.shape[0] ** 0.5
        return gate_report(scores, tf.nn.softmax(logits), logits, k, router_z_loss(logits), temperature)

    @property
    def expert_variables(self) -> list[keras.Variable]:
        """U, V and the projection: every variable that is not the dense base's."""
        return [self.keys, self.query_in, self.query_out, self.output_kernel]

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], self.units)

    def flops(self) -> int:
        """Per row: all matrix products, and the products of scores with V x."""
        (width, experts), rank = self.keys.shape, self.query_rank
        both = 2 * width * self.units + experts + 2 * experts * self.units
        if self.parallel:
            pairs = self.num_experts**2 * self.num_levels * (self.num_levels - 1) // 2
            return both + 2 * width * (experts + rank) + 2 * rank * experts + 2 * pairs
        return both + 2 * width * (2 * rank + 3 * experts - self.num_experts)

    def flops_per_batch(self) -> int:
        """Per batch, whatever its size: the products of weights with weights."""
        width, experts = self.keys.shape
        return 2 * width * experts * (experts + self.query_rank) if self.parallel else 0

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "num_experts": self.num_experts,
            "num_levels": self.num_levels,
            "k": self.k,
            "query_rank": self.query_rank,
            "parallel": self.parallel,
        }
