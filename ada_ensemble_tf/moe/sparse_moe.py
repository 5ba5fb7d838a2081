"""The sparse mixture-of-experts layer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Among, ArgumentError, check_argument
from ada_ensemble_tf.experts import Expert, make_expert
from ada_ensemble_tf.gates import GateReport, NoisyCosineGate
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import RoutedBatchNormalization, make_normalization
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.losses.decorrelation import decorrelation_loss
from ada_ensemble_tf.moe.dense_dispatcher import DenseDispatcher
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from ada_ensemble_tf.moe.expert_inputs import ExpertInputNormalization
from ada_ensemble_tf.moe.expert_scale import ExpertScale
from ada_ensemble_tf.moe.fusion import SparseFusion
from ada_ensemble_tf.moe.routed_decorrelation import routed_decorrelation_loss

DISPATCHERS = ("sparse", "dense", "vector_fusion", "bit_fusion")
Dispatcher = Annotated[str, Among(DISPATCHERS)]
ExpertNormalization = Literal["none", "input", "output", "pre_activation"]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SparseMoE(keras.layers.Layer):
    """Norm(x + sum_j g_j E_j(x0, x)), summed over the K experts that the gate keeps for a row.

    AdaEnsemble (arXiv 2301.08353), section 3.3 and figure 2.

    Args:
        experts: names of the experts, see `ada_ensemble_tf.experts.EXPERTS`; each at most once.
        num_fields: F.
        normalization: Norm: "batch", "layer" or "none". "pre" is x + sum_j g_j E_j(BN(x0), BN(x)) instead: the layer
            batch-normalises what experts read and leaves x as it is.
        gate: the gate over the experts; by default a `NoisyCosineGate`. A fusion has none.
        dispatcher: "sparse" runs each expert on the rows that chose it; "dense" computes the same sum with each expert
            on all rows; "vector_fusion" and "bit_fusion" replace the gate with a `SparseFusion` of all experts on all
            rows.
        fusion_activation: activation of a fusion, see `SparseFusion`.
        decorrelate: whether training adds the Cross-Expert De-Correlation loss (arXiv 2505.17925) to the report, for
            each pair of experts over the rows routed to both; see `routed_decorrelation_loss`.
        dropout: share of the experts' inputs that training sets to 0; the gate and the residual are not affected.
        expert_scale: what the gates are multiplied by in the sum, see `ExpertScale`; a fusion allows "none" only.
        expert_normalization: batch normalisation of each expert, with a scale and shift of its own: "none"; "input", of
            the x0 and x that it reads, over all rows of the layer, see `ExpertInputNormalization`; "output", of what it
            gives for the rows routed to it; "pre_activation", the same before the activation of an expert that ends in
            one.

    Call arguments:
        x0: `[B, M]` embedding output, read by the gate and by some experts.
        x: `[B, M]` output of the previous layer.
        k: K, experts to keep per row, an int or int32 scalar in [1, E]; a fusion ignores it.
        training: training mode of gate, experts and normalisation.
        gate_training: training mode of the gate alone; by default that of the rest.

    Returns:
        (output `[B, M]`, GateReport, FLOPs spent on the batch as routed, a float32 scalar). FLOPs count the gate and
        the experts, a multiply-add as two, without normalisation, activations and the sum.

    Raises:
        ValueError: for an unknown or repeated expert, an unknown dispatcher, a gate of the wrong size, a gate or an
            `expert_scale` together with a fusion, or `decorrelate` with a single expert.

    Example:
        >>> layer = SparseMoE(["dense", "cross", "attention"], num_fields=3)
        >>> output, report, flops = layer(tf.ones([2, 12]), tf.ones([2, 12]), k=1)
        >>> output.shape
        TensorShape([2, 12])
    """

    def __init__(
        self,
        experts: Sequence[str],
        num_fields: int,
        normalization: str = "batch",
        gate: keras.layers.Layer | None = None,
        dispatcher: str = "sparse",
        fusion_activation: str = "softmax",
        decorrelate: bool = False,
        dropout: float = 0.0,
        expert_scale: str = "none",
        expert_normalization: str = "none",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if len(set(experts)) != len(experts):
            raise ValueError(f"each expert may be named once; received {list(experts)}")
        if dispatcher not in DISPATCHERS:
            raise ValueError(f"dispatcher must be one of {DISPATCHERS}; received {dispatcher!r}")
        if decorrelate and len(experts) < 2:
            raise ValueError(f"decorrelate needs two or more experts; received {list(experts)}")
        check_argument("expert_normalization", expert_normalization, ExpertNormalization)
        self.expert_names = tuple(experts)
        self.num_fields = num_fields
        self.normalization = normalization
        self.dispatcher = dispatcher
        self.fusion_activation = fusion_activation
        self.decorrelate = decorrelate
        self.dropout = dropout
        self.drop = make_dropout(dropout)
        self.expert_scale = expert_scale
        self.expert_normalization = expert_normalization
        self.experts = [make_expert(name, num_fields) for name in experts]
        self._make_expert_norms()
        self.gate: keras.layers.Layer | None = None
        self.fusion: SparseFusion | None = None
        if dispatcher.endswith("_fusion"):
            if gate is not None:
                raise ValueError(f"dispatcher {dispatcher!r} weights the experts itself: it takes no gate")
            if expert_scale != "none":
                raise ArgumentError("expert_scale", f"be 'none' with dispatcher {dispatcher!r}", expert_scale)
            mode = dispatcher.removesuffix("_fusion")
            self.fusion = SparseFusion(len(experts), mode, fusion_activation, name="fusion")
        else:
            self.gate = gate if gate is not None else NoisyCosineGate(len(experts), name="gate")
            if self.gate.num_choices != len(self.experts):
                raise ValueError(
                    f"the gate chooses among {self.gate.num_choices}, but there are {len(self.experts)} experts"
                )
        self.scale = ExpertScale(len(experts), expert_scale, name="expert_scale")
        # With "pre", what experts read is normalised, and the sum is not.
        self.normalize = make_normalization("none" if normalization == "pre" else normalization, "normalize")

    def _make_expert_norms(self) -> None:
        """Makes the normalisations of x0 (None if no expert reads it) and x, and of each expert's output."""
        sources = [name for name in ("x0", "x") if name == "x" or any(expert.reads_x0 for expert in self.experts)]
        self.pre_norms: dict[str, keras.layers.Layer] = {}
        self.expert_norms: dict[str, ExpertInputNormalization] = {}
        self.output_norms: list[RoutedBatchNormalization] = []
        if self.normalization == "pre":
            self.pre_norms = {name: make_normalization("batch", f"normalize_{name}") for name in sources}
        if self.expert_normalization == "input":
            number = len(self.experts)
            self.expert_norms = {n: ExpertInputNormalization(number, name=f"normalize_experts_{n}") for n in sources}
        elif self.expert_normalization != "none":
            self.output_norms = [RoutedBatchNormalization(name=f"normalize_{expert.name}") for expert in self.experts]

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        if self.fusion is not None:
            self.fusion.build(x_shape)
        elif self.gate is not None and not self.gate.built:  # A loaded gate is built already.
            self.gate.build(x0_shape)
        for expert in self.experts:
            expert.build(x0_shape, x_shape)
        self.scale.build(None)
        for norm in (*self.pre_norms.values(), *self.expert_norms.values(), *self.output_norms, self.normalize):
            norm.build(x_shape)

    def call(
        self,
        x0: tf.Tensor,
        x: tf.Tensor,
        k: tf.Tensor | int,
        training: bool = False,
        gate_training: bool | None = None,
    ) -> tuple[tf.Tensor, GateReport, tf.Tensor]:
        costs = [float(expert.flops()) for expert in self.experts]
        batch = tf.cast(tf.shape(x)[0], tf.float32)
        if self.fusion is not None:
            outputs = self.expert_outputs(x0, x, training)
            mixed = self.fusion(outputs)
            report, flops = self.fusion.report(), sum(costs) * batch
        else:
            assert self.gate is not None
            gates, report = self.gate(x0, k=k, training=training if gate_training is None else gate_training)
            dispatcher = SparseDispatcher(gates) if self.dispatcher == "sparse" else DenseDispatcher(gates)
            outputs = self._run_experts(dispatcher, *self._to_read(x0, x, training), training)
            mixed = dispatcher.combine(outputs, self.scale(gates))
            flops = tf.reduce_sum(tf.constant(costs) * dispatcher.counts()) + float(self.gate.flops()) * batch
        if training and self.decorrelate:
            if self.fusion is not None:
                loss = decorrelation_loss(outputs)
            else:
                loss = routed_decorrelation_loss(outputs, gates, dense=self.dispatcher == "dense")
            report = report._replace(decorrelation=loss)
        return self.normalize(upcast(x) + mixed, training=training), report, flops

    def expert_outputs(self, x0: tf.Tensor, x: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Each expert's output for all rows, `[B, M]`."""
        seen = self._to_read(x0, x, training)
        return [self._run_expert(j, *seen, training) for j in range(len(self.experts))]

    def _to_read(self, x0: tf.Tensor, x: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """x0 and x of all rows as experts read them, but for each expert's own scale and shift."""
        seen = {"x0": x0, "x": x}
        for norms in (self.pre_norms, self.expert_norms):
            seen |= {name: norm(seen[name], training=training) for name, norm in norms.items()}
        if self.drop is not None:
            seen = {name: self.drop(rows, training=training) for name, rows in seen.items()}
        return seen["x0"], seen["x"]

    def _run_experts(
        self, dispatcher: SparseDispatcher | DenseDispatcher, x0: tf.Tensor, x: tf.Tensor, training: bool
    ) -> list[tf.Tensor]:
        rows = dispatcher.dispatch(x)
        rows0 = dispatcher.dispatch(x0, [j for j, expert in enumerate(self.experts) if expert.reads_x0])
        return [
            self._run_expert(j, rows0.get(j, rows[j]), rows[j], training, dispatcher.routed(j))
            for j in range(len(self.experts))
        ]

    def _run_expert(
        self, j: int, x0: tf.Tensor, x: tf.Tensor, training: bool, routed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """`[B_j, M]` of expert j's rows; `routed` says which of them its statistics cover, None all."""
        expert: Expert = self.experts[j]
        if self.expert_norms:
            x = self.expert_norms["x"].of_expert(j, x)
            x0 = self.expert_norms["x0"].of_expert(j, x0) if expert.reads_x0 else x
        if not self.output_norms:
            return expert(x0, x, training=training)
        before = self.expert_normalization == "pre_activation"
        output = expert.before_activation(x0, x, training) if before else expert(x0, x, training=training)
        output = self.output_norms[j](output, training=training, counted=routed)
        return expert.activate(x0, output) if before else output

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "experts": self.expert_names,
            "num_fields": self.num_fields,
            "normalization": self.normalization,
            "gate": self.gate and keras.saving.serialize_keras_object(self.gate),
            "dispatcher": self.dispatcher,
            "fusion_activation": self.fusion_activation,
            "decorrelate": self.decorrelate,
            "dropout": self.dropout,
            "expert_scale": self.expert_scale,
            "expert_normalization": self.expert_normalization,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SparseMoE":
        """The layer that `get_config` describes, with its gate."""
        config = dict(config)
        config["gate"] = config["gate"] and keras.saving.deserialize_keras_object(config["gate"])
        return cls(**config)
