"""The sparse mixture-of-experts layer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Among, ArgumentError
from ada_ensemble_tf.gates import GateReport, NoisyCosineGate
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.losses.decorrelation import decorrelation_loss
from ada_ensemble_tf.moe.dense_dispatcher import DenseDispatcher
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from ada_ensemble_tf.moe.expert_layer import ExpertLayer
from ada_ensemble_tf.moe.expert_lists import labels, make_listed, named, spec_of
from ada_ensemble_tf.moe.expert_scale import ExpertScale
from ada_ensemble_tf.moe.fusion import SparseFusion
from ada_ensemble_tf.moe.routed_decorrelation import routed_decorrelation_loss

DISPATCHERS = ("sparse", "dense", "dense_pre", "vector_fusion", "bit_fusion")
Dispatcher = Annotated[str, Among(DISPATCHERS)]


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SparseMoE(ExpertLayer):
    """Norm(x + sum_j g_j E_j(x0, x)), summed over the K experts that the gate keeps for a row.

    AdaEnsemble (arXiv 2301.08353), section 3.3 and figure 2.

    Args:
        experts: the experts: names, see `ada_ensemble_tf.experts.EXPERTS`, mappings of a "name" and options, classes or
            instances; see `ExpertsCheck`. In reports the second of a name is NAME_2.
        num_fields: F.
        normalization: Norm: "batch", "layer" or "none". "pre" is x + sum_j g_j E_j(BN(x0), BN(x)) instead: the layer
            batch-normalises what experts read and leaves x as it is.
        gate: the gate over the experts; by default a `NoisyCosineGate`. A fusion has none.
        dispatcher: "sparse" runs each expert on the rows that chose it; "dense" computes the same sum with each expert
            on all rows; "dense_pre" weights what experts read in place of what they give, see `DenseDispatcher`;
            "vector_fusion" and "bit_fusion" replace the gate with a `SparseFusion` of all experts on all rows.
        fusion_activation: activation of a fusion, see `SparseFusion`.
        decorrelate: whether training adds the Cross-Expert De-Correlation loss (arXiv 2505.17925) to the report, for
            each pair of experts over the rows routed to both; see `routed_decorrelation_loss`.
        dropout: share of the experts' inputs that training sets to 0; the gate and the residual are not affected.
        expert_scale: what the gates are multiplied by in the sum, see `ExpertScale`; a fusion allows "none" only.
        expert_normalization: batch normalisation of each expert, with a scale and shift of its own: "none"; "input", of
            the x0 and x that it reads, over all rows of the layer, see `ExpertInputNormalization`; "output", of what it
            gives for the rows routed to it; "pre_activation", the same before the activation of an expert that ends in
            one.
        shared_expert: an expert that runs on every row beside the routed ones and joins their sum without a gate, as in
            DeepSeekMoE (arXiv 2401.06066); none by default.
        views: which inputs each routed expert reads in a view of its own: "none", "x0", or "all", x0 and x, for a first
            layer. x0 then is `[B, (1 + E) M]`: x0 itself, which gate and shared expert read, and the E views.

    Call arguments:
        x0: `[B, M]` embedding output, read by the gate and by some experts.
        x: `[B, M]` output of the previous layer.
        k: K, experts to keep per row, an int or int32 scalar of at least 1. A layer of fewer experts keeps all; a
            fusion ignores it.
        training: training mode of gate, experts and normalisation.
        gate_training: training mode of the gate alone; by default that of the rest.

    Returns:
        (output `[B, M]`, GateReport, FLOPs spent on the batch as routed, a float32 scalar). FLOPs count the gate and
        the experts, a multiply-add as two, without normalisation, activations and the sum.

    Raises:
        ValueError: for an unknown expert or option, an unknown dispatcher, a gate of the wrong size, a gate or an
            `expert_scale` together with a fusion, or `decorrelate` with a single expert.

    Example:
        >>> layer = SparseMoE(["dense", "cross", "attention"], num_fields=3)
        >>> output, report, flops = layer(tf.ones([2, 12]), tf.ones([2, 12]), k=1)
        >>> output.shape
        TensorShape([2, 12])
    """

    def __init__(
        self,
        experts: Sequence[Any],
        num_fields: int,
        normalization: str = "batch",
        gate: keras.layers.Layer | None = None,
        dispatcher: str = "sparse",
        fusion_activation: str = "softmax",
        decorrelate: bool = False,
        dropout: float = 0.0,
        expert_scale: str = "none",
        expert_normalization: str = "none",
        shared_expert: Any = None,
        views: str = "none",
        **kwargs: Any,
    ):
        specs = [spec_of(expert) for expert in experts]
        made, shared = [], None
        for expert, label in zip(experts, labels(specs), strict=True):
            with named(label):
                made.append(make_listed(expert, num_fields, label))
        if shared_expert is not None:
            (label,) = labels([shared_expert], "shared_expert")
            with named(label, "shared_expert"):
                shared = make_listed(shared_expert, num_fields, f"shared_{label}")
        super().__init__(made, shared, normalization, expert_normalization, dropout, views, **kwargs)
        if dispatcher not in DISPATCHERS:
            raise ValueError(f"dispatcher must be one of {DISPATCHERS}; received {dispatcher!r}")
        if decorrelate and len(experts) < 2:
            raise ValueError(f"decorrelate needs two or more experts; received {list(experts)}")
        self.specs = specs
        self.expert_names = labels(specs)
        self.num_fields = num_fields
        self.dispatcher = dispatcher
        self.fusion_activation = fusion_activation
        self.decorrelate = decorrelate
        self.expert_scale = expert_scale
        self.shared_expert = None if shared_expert is None else spec_of(shared_expert)
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
        if dispatcher == "dense_pre" and expert_scale != "none":
            raise ArgumentError("expert_scale", "be 'none' with dispatcher 'dense_pre'", expert_scale)
        self.scale = ExpertScale(len(experts), expert_scale, self.shared is not None, name="expert_scale")

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        if self.fusion is not None:
            self.fusion.build(x_shape)
        elif self.gate is not None and not self.gate.built:  # A loaded gate is built already.
            self.gate.build(x_shape)
        self.scale.build((None, len(self.experts)))
        super().build(x0_shape, x_shape)

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
        seen = self.to_read(x0, x, training)
        if self.fusion is not None:
            outputs = [self.run_on_all_rows(j, seen, training) for j in range(len(self.experts))]
            mixed = self.fusion(outputs)
            report, flops = self.fusion.report(), sum(costs) * batch
        else:
            assert self.gate is not None
            gate_training = training if gate_training is None else gate_training
            k = tf.minimum(k, len(self.experts))
            gates, report = self.gate(self.base(x0), k=k, training=gate_training)
            dispatcher = self._dispatcher(gates)
            outputs = self._run_experts(dispatcher, seen, training)
            mixed = dispatcher.combine(outputs, self.scale(gates))
            flops = tf.reduce_sum(tf.constant(costs) * dispatcher.counts()) + float(self.gate.flops()) * batch
        if training and self.decorrelate:
            if self.fusion is not None:
                loss = decorrelation_loss(outputs)
            else:
                loss = routed_decorrelation_loss(outputs, gates, dense=self.dispatcher != "sparse")
            report = report._replace(decorrelation=loss)
        if self.shared is not None:
            mixed += self.scale.of_shared(upcast(self.run_on_all_rows(len(self.experts), seen, training)))
            flops += float(self.shared.flops()) * batch
        return self.add(x, mixed, training), report, flops

    def _dispatcher(self, gates: tf.Tensor) -> SparseDispatcher | DenseDispatcher:
        if self.dispatcher == "sparse":
            return SparseDispatcher(gates)
        return DenseDispatcher(gates, "pre" if self.dispatcher == "dense_pre" else "post")

    def _run_experts(
        self, dispatcher: SparseDispatcher | DenseDispatcher, seen: tuple[tf.Tensor, tf.Tensor], training: bool
    ) -> list[tf.Tensor]:
        readers = [j for j, expert in enumerate(self.experts) if expert.reads_x0]
        if self.views == "none":
            rows0, rows = dispatcher.dispatch(seen[0], readers), dispatcher.dispatch(seen[1])
        else:
            rows0, rows = {}, {}
            for j in range(len(self.experts)):
                x0, x = self.view(j, *seen)
                rows |= dispatcher.dispatch(x, [j])
                rows0 |= dispatcher.dispatch(x0, [j]) if j in readers else {}
        return [
            self.run_expert(j, rows0.get(j, rows[j]), rows[j], training, dispatcher.routed(j))
            for j in range(len(self.experts))
        ]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "experts": self.specs,
            "num_fields": self.num_fields,
            "normalization": self.normalization,
            "gate": self.gate and keras.saving.serialize_keras_object(self.gate),
            "dispatcher": self.dispatcher,
            "fusion_activation": self.fusion_activation,
            "decorrelate": self.decorrelate,
            "dropout": self.dropout,
            "expert_scale": self.expert_scale,
            "expert_normalization": self.expert_normalization,
            "shared_expert": self.shared_expert,
            "views": self.views,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SparseMoE":
        """The layer that `get_config` describes, with its gate."""
        config = dict(config)
        config["gate"] = config["gate"] and keras.saving.deserialize_keras_object(config["gate"])
        return cls(**config)
