"""The sparse mixture-of-experts layer."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.experts import make_expert
from ada_ensemble_tf.gates import GateReport, NoisyCosineGate
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from ada_ensemble_tf.normalization import make_normalization


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SparseMoE(keras.layers.Layer):
    """Norm(x + sum_j g_j E_j(x0, x)), the sum over the K experts that the gate keeps for a row.

    AdaEnsemble (arXiv 2301.08353), section 3.3 and figure 2.

    Args:
        experts: names of the experts, see `ada_ensemble_tf.experts.EXPERTS`; a name may come once.
        num_fields: F.
        normalization: "batch", "layer" or "none".
        gate: the gate over the experts; by default a `NoisyCosineGate`.

    Call arguments:
        x0: `[B, M]` embedding output, read by the gate and by some experts.
        x: `[B, M]` output of the layer before.
        k: K, experts to keep per row, an int or int32 scalar in [1, E].
        training: training mode of gate, experts and normalisation.

    Returns:
        (output `[B, M]`, GateReport, FLOPs spent on the batch as routed, a float32 scalar). FLOPs are two a
        multiply-add of gate and experts; normalisation, activations and the sum are left out.

    Raises:
        ValueError: for an unknown or repeated expert, or a gate of another size.
    """

    def __init__(
        self,
        experts: Sequence[str],
        num_fields: int,
        normalization: str = "batch",
        gate: keras.layers.Layer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(set(experts)) != len(experts):
            raise ValueError(f"each expert may be named once; received {list(experts)}")
        self.expert_names = tuple(experts)
        self.num_fields = num_fields
        self.normalization = normalization
        self.experts = [make_expert(name, num_fields) for name in experts]
        self.gate = gate if gate is not None else NoisyCosineGate(len(experts), name="gate")
        if self.gate.num_choices != len(self.experts):
            raise ValueError(
                f"the gate chooses among {self.gate.num_choices}, but there are {len(self.experts)} experts"
            )
        self.normalize = make_normalization(normalization, "normalize")

    def build(self, x0_shape, x_shape):
        if not self.gate.built:  # One that was loaded is.
            self.gate.build(x0_shape)
        for expert in self.experts:
            expert.build(x0_shape, x_shape)
        self.normalize.build(x_shape)

    def call(self, x0, x, k, training=False) -> tuple[tf.Tensor, GateReport, tf.Tensor]:
        gates, report = self.gate(x0, k=k, training=training)
        dispatcher = SparseDispatcher(gates)
        rows = dispatcher.dispatch(x)
        rows0 = dispatcher.dispatch(x0, [j for j, expert in enumerate(self.experts) if expert.reads_x0])
        outputs = [expert(rows0.get(j, rows[j]), rows[j], training=training) for j, expert in enumerate(self.experts)]
        output = self.normalize(x + dispatcher.combine(outputs), training=training)
        costs = tf.constant([float(expert.flops()) for expert in self.experts])
        flops = tf.reduce_sum(costs * dispatcher.counts())
        flops += float(self.gate.flops()) * tf.cast(tf.shape(x)[0], tf.float32)
        return output, report, flops

    def get_config(self):
        return super().get_config() | {
            "experts": self.expert_names,
            "num_fields": self.num_fields,
            "normalization": self.normalization,
            "gate": keras.saving.serialize_keras_object(self.gate),
        }

    @classmethod
    def from_config(cls, config):
        """The layer of `get_config`, gate included."""
        config = dict(config)
        config["gate"] = keras.saving.deserialize_keras_object(config["gate"])
        return cls(**config)
