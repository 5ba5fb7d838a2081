"""Layers of experts in which each expert reads a learned fusion of the layer before."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Count, Normalization, Share
from ada_ensemble_tf.layers.dropout import make_dropout
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import upcast
from ada_ensemble_tf.models.ada_ensemble import RELEASED_EXPERTS
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.moe.expert_lists import LayersExperts, labels, layer_lists, make_listed, named
from ada_ensemble_tf.moe.fusion import FusionActivation, FusionMode, SparseFusion
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class SequentialFusion(CTRModel):
    """h_lj = Norm(z_lj + E_lj(x0, z_lj)), z_lj = Fusion_lj(h_(l-1)1 .. h_(l-1)E); then w . Fusion(h_L1 .. h_LE) + b.

    The sequential fusion of AdaEnsemble's original release (arXiv 2301.08353): where a mixture's layer has one output,
    here each expert of a layer weights the outputs of the layer before on its own, by weights that are the same for all
    rows; z_1j is x0. The residual z is an option of the release, and the estimator is that of its other models.

    Args:
        dimension: D, the size of an embedding.
        num_layers: L, the number of layers.
        experts: the experts in each layer, or a list of them for each layer; see `AdaEnsemble`.
        fusion: one weight an expert, "vector", or one an expert and element of the feature map, "bit".
        fusion_activation: the activation of the fusions: "sigmoid", "smooth_step", "softmax" or "sparsemax", see
            `SparseFusion`.
        residual: whether z_lj is added to the expert's output.
        normalization: Norm, of each expert of its own: "batch", "layer" or "none".
        embedding_normalization: normalisation of the embeddings, likewise; the multiplicative experts need an x0 of
            unit scale.
        dropout: the share of the experts' inputs that training sets to 0; residuals are not affected.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = SequentialFusion(num_rows=4, num_fields=2, dimension=2, num_layers=2, experts=("dense", "cross"))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "sequential_fusion"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 4,
        experts: LayersExperts = RELEASED_EXPERTS,
        fusion: FusionMode = "vector",
        fusion_activation: FusionActivation = "softmax",
        residual: bool = True,
        normalization: Normalization = "batch",
        embedding_normalization: Normalization = "batch",
        dropout: Share = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        self.residual = residual
        self.drop = make_dropout(dropout)
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, self.num_fields * dimension)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build(shape)
        self.expert_layers, self.norm_layers, self.fusion_layers = [], [], []
        before = 0
        self.last_names: tuple[str, ...] = ()
        for depth, listed in enumerate(layer_lists(experts, num_layers), 1):
            self.last_names = labels(listed)
            made, places = [], [f"layer_{depth}_{label}" for label in self.last_names]
            for expert, label, place in zip(listed, self.last_names, places, strict=True):
                with named(label):
                    made.append(make_listed(expert, self.num_fields, place))
                    made[-1].build(shape, shape)
            self.expert_layers.append(made)
            self.norm_layers.append([make_normalization(normalization, f"normalize_{place}") for place in places])
            after = places if before else []
            fusions = [SparseFusion(before, fusion, fusion_activation, name=f"fuse_{place}") for place in after]
            self.fusion_layers.append(fusions)
            for part in (*self.norm_layers[-1], *self.fusion_layers[-1]):
                part.build(shape)
            before = len(made)
        self.fuse = SparseFusion(before, fusion, fusion_activation, name="fuse")
        self.fuse.build(shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build(shape)
        self.built = True

    def choice_names(self) -> dict[str, list[str]]:
        """The experts of the last layer, which the last fusion weights."""
        return {"fusion": list(self.last_names)}

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs the rows through all experts of all layers."""
        x0 = self.normalize(self.embedding(inputs), training=training)
        maps, _ = self._run(x0, training)
        fused = self.fuse(list(maps[-1].values()))
        logit = self.estimator(fused)
        tensors = {"embedding output x0": x0}
        for layer in maps:
            tensors |= {f"output of {place}": x for place, x in layer.items()}
        return Forward(
            logit=logit,
            flops=tf.cast(tf.shape(x0)[0], tf.float32) * self._flops(),
            reports={"fusion": self.fuse.report()},
            tensors=tensors | {"fusion": fused, "logit": logit},
        )

    def _run(self, x0: tf.Tensor, training: bool) -> tuple[list[dict[str, tf.Tensor]], list[list[tf.Tensor]]]:
        """Each layer's h by place, and what its experts gave."""
        maps: list[dict[str, tf.Tensor]] = []
        given: list[list[tf.Tensor]] = []
        for experts, norms, fusions in zip(self.expert_layers, self.norm_layers, self.fusion_layers, strict=True):
            read = [fusion(list(maps[-1].values())) for fusion in fusions] if fusions else [x0] * len(experts)
            maps.append({})
            given.append([])
            for expert, norm, z in zip(experts, norms, read, strict=True):
                seen = (x0, z) if self.drop is None else [self.drop(one, training=training) for one in (x0, z)]
                output = upcast(expert(*seen, training=training))
                given[-1].append(output)
                maps[-1][expert.name] = norm(upcast(z) + output if self.residual else output, training=training)
        return maps, given

    def _flops(self) -> int:
        """Per row; a weighted sum of E feature maps is E M multiply-adds."""
        experts = sum(expert.flops() for layer in self.expert_layers for expert in layer)
        fusions = [self.fuse, *(fusion for layer in self.fusion_layers for fusion in layer)]
        width = self.estimator.kernel.shape[0]
        return experts + sum(2 * fusion.num_experts * width for fusion in fusions) + self.estimator.flops()

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """Each expert's output for all rows, `[B, M]`, by layer."""
        _, given = self._run(self.normalize(self.embedding(inputs)), training=False)
        return {f"layer_{depth}": outputs for depth, outputs in enumerate(given, 1)}
