"""DLRM whose MLP is a mixture of experts."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.arguments import (
    ArgumentError,
    Count,
    CountOrZero,
    Counts,
    Normalization,
    Share,
    SomeCounts,
    Weight,
)
from ada_ensemble_tf.dhen import ListProjection
from ada_ensemble_tf.dhen.dlrm import with_products
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.embedding_list import EmbeddingListModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.models.softmax_gate import SoftmaxGate
from ada_ensemble_tf.moe.dispatch import SparseDispatcher
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class MoEDLRM(EmbeddingListModel):
    """w . sum_j g_j MLP_j(v) + b, v = [X_0 flattened, <Z_i, Z_j> for i < j], g = softmax(W v + c).

    DLRM (arXiv 1906.00091) scaled by a mixture of experts, which DHEN (arXiv 2203.11014, section 4.3.2 and table 3)
    compares with stacking its own layers: "we use the MoE architecture to scale up the MLP layers in AdvancedDLRM". X_0
    is the list of embeddings as in `DHEN`, Z is X_0 or a projection of it. With one expert this is DLRM itself, without
    a gate. The paper says neither which MLPs it scales nor how many experts a row keeps; as the FLOPs of its table grow
    in proportion to the experts, all are kept by default.

    Args:
        dimension: D, the size of an embedding.
        num_experts: E, the number of expert MLPs.
        k: K, the experts kept per row; 0 means all. The gate's variables are weights, trained on the same rows.
        expert_units: the sizes of each expert's layers.
        compressed: the number of embeddings to which the list is projected before the dot products; 0 means no
            projection.
        numeric_units: the sizes of the floats' MLP; a layer of size D follows them.
        expert_load_weight: the coefficient of the balance loss, with a uniform prior; of no effect if all are kept.
        activation: the Keras activation of all these MLPs.
        normalization: normalisation inside the experts: "batch", "layer" or "none".
        dropout: the share of the experts' hidden units that training sets to 0.
        embedding_normalization: normalisation of X_0: "batch", "layer" or "none"; see `DHEN`.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = MoEDLRM(num_rows=4, num_fields=2, dimension=2, num_experts=2, expert_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "moe_dlrm"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_experts: Count = 4,
        k: CountOrZero = 0,
        expert_units: SomeCounts = (256, 256),
        compressed: CountOrZero = 0,
        numeric_units: Counts = (64,),
        expert_load_weight: Weight = 0.01,
        activation: Activation = "relu",
        normalization: Normalization = "none",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        **common: Any,
    ):
        super().__init__(**common)
        if k > num_experts:
            raise ArgumentError("k", f"lie between 1 and the {num_experts} experts, or be 0 for all", k)
        if compressed == 1:
            raise ArgumentError("compressed", "be at least 2, or 0 for no compression", compressed)
        self.expert_load_weight = expert_load_weight
        self.make_list(dimension, numeric_units, activation, embedding_normalization)
        self.compress = None
        if compressed:
            self.compress = ListProjection(compressed, name="compress")
            self.compress.build((None, self.length, dimension))
        pairs = compressed or self.length
        width = (None, self.length * dimension + pairs * (pairs - 1) // 2)
        self.gate = None
        if num_experts > 1:
            self.gate = SoftmaxGate(num_experts, k, name="gate")
            self.gate.build(width)
        self.experts = []
        for j in range(1, num_experts + 1):
            expert = MLP(expert_units, activation, normalization, dropout, name=f"expert_{j}")
            expert.build(width)
            self.experts.append(expert)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, expert_units[-1]))
        self.products_flops = 2 * pairs**2 * dimension
        self.built = True

    def choice_names(self) -> dict[str, list[str]]:
        """The experts by number."""
        return {"gate": [expert.name for expert in self.experts]} if self.gate is not None else {}

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows, takes their dot products, and sums the experts that each row keeps."""
        x0, v = self._features(inputs, training)
        rows, reports, terms = tf.cast(tf.shape(v)[0], tf.float32), {}, {}
        costs = tf.constant([float(expert.flops()) for expert in self.experts])
        if self.gate is None:
            mixed, counts = self.experts[0](v, training=training), rows[None]
        else:
            gates, report = self.gate(v)
            reports["gate"] = report
            dispatcher = SparseDispatcher(gates)
            parts = dispatcher.dispatch(v)
            mixed = dispatcher.combine([expert(parts[j], training=training) for j, expert in enumerate(self.experts)])
            counts = dispatcher.counts()
            if self.gate.k and self.expert_load_weight:
                prior = tf.fill([len(self.experts)], 1.0 / len(self.experts))
                balance = losses.load_distribution_loss(report.load, report.probability, prior)
                terms["expert_distribution"] = self.expert_load_weight * balance
        logit = self.estimator(mixed)
        around = [self.numeric, self.compress, self.gate, self.estimator]
        per_row = sum(part.flops() for part in around if part is not None) + self.products_flops
        return Forward(
            logit=logit,
            flops=rows * per_row + tf.reduce_sum(costs * counts),
            terms=terms,
            reports=reports,
            tensors={"embedding output x0": x0, "dot products": v, "mixed experts": mixed, "logit": logit},
        )

    def _features(self, inputs: Inputs, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        x0 = self.first_list(inputs, training)
        return x0, with_products(x0, x0 if self.compress is None else self.compress(x0))

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """Each expert's output for all rows, `[B, H]`."""
        if self.gate is None:
            return {}
        _, v = self._features(inputs, training=False)
        return {"gate": [expert(v) for expert in self.experts]}
