"""DHEN: a deep and hierarchical ensemble of interaction modules."""

from typing import Annotated, Any, Literal

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import Among, ArgumentError, Count, CountOrZero, Counts, Normalization, Share
from ada_ensemble_tf.dhen import MODULES, DHENLayer, ModuleNames
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.layers.recomputing import recomputed
from ada_ensemble_tf.models.embedding_list import EmbeddingListModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs, values_of


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DHEN(EmbeddingListModel):
    """Stacked ensembles of interaction modules over lists of embeddings (DHEN, arXiv 2203.11014).

    X_0 is the list of the fields' embeddings. If the data has fields with floats, an MLP maps them all to one
    more embedding, as in DLRM (section 2.1); a missing float is read as the mean, 0. The layers are X_{n+1} =
    Norm(Ensemble_i Interaction_i(X_n) + ShortCut(X_n)), see `DHENLayer`; in every layer, the modules that
    `numeric_modules` names read the floats beside X_n. The last list is flattened and goes to the
    estimator, optionally through dense layers. The default modules are those of the paper's table 2.

    Args:
        dimension: D, the size of an embedding.
        num_layers: the number of stacked layers.
        modules: the names of the interaction modules in each layer, see `ada_ensemble_tf.dhen.MODULES`.
        num_outputs: l, the number of embeddings that each module gives.
        ensemble: how the modules' outputs are combined: "concat", "sum" or "weighted_sum".
        heads: the number of heads in the module "attention"; it must divide D.
        filters: the number of filters in the module "convolution".
        dlrm_units: the sizes of the MLP in the module "dlrm".
        dlrm_compressed: the number of embeddings to which "dlrm" projects the list before it takes dot products; 0
            means no projection.
        numeric_units: the sizes of the floats' MLP; a layer of size D follows them.
        numeric_modules: the names of the modules that read the raw floats in every layer; no effect without floats.
        hidden_units: the sizes of dense layers before the estimator; none by default.
        activation: the Keras activation of all these MLPs.
        normalization: normalisation of the DHEN layers and of the dense layers: "layer", "batch" or "none".
        dropout: the share of each ensemble's elements, and of the dense layers' outputs, that training sets to 0.
        embedding_normalization: normalisation of X_0: "batch", "layer" or "none". The paper has none, but products of
            small embeddings start close to nothing, and the other models here that multiply embeddings have it.
        activation_checkpointing: whether training keeps only each layer's input and computes the layer again in the
            backward pass, see `recomputed`; less memory for more time.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = DHEN(num_rows=4, num_fields=2, dimension=2, num_layers=1, num_outputs=1, dlrm_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "dhen"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 4,
        modules: ModuleNames = ("dlrm", "linear"),
        num_outputs: Count = 16,
        ensemble: Literal["concat", "sum", "weighted_sum"] = "concat",
        heads: Count = 2,
        filters: Count = 4,
        dlrm_units: Counts = (256,),
        dlrm_compressed: CountOrZero = 0,
        numeric_units: Counts = (64,),
        numeric_modules: Annotated[tuple[str, ...], Among(MODULES, once=True)] = (),
        hidden_units: Counts = (),
        activation: Activation = "relu",
        normalization: Normalization = "layer",
        dropout: Share = 0.0,
        embedding_normalization: Normalization = "batch",
        activation_checkpointing: bool = False,
        **common: Any,
    ):
        super().__init__(**common)
        if "attention" in modules and dimension % heads:
            raise ArgumentError("heads", f"divide dimension={dimension}", heads)
        if dlrm_compressed == 1:
            raise ArgumentError("dlrm_compressed", "be at least 2, or 0 for no compression", dlrm_compressed)
        if unused := sorted(set(numeric_modules) - set(modules)):
            raise ArgumentError("numeric_modules", f"be among the modules {', '.join(modules)}", unused[0])
        self.make_list(dimension, numeric_units, activation, embedding_normalization)
        numeric = tuple(numeric_modules) if self.value_rows else ()
        values_shape: Shape | None = (None, len(self.value_rows)) if self.value_rows else None
        own: dict[str, dict[str, Any]] = {
            "attention": {"heads": heads},
            "convolution": {"filters": filters},
            "dlrm": {"hidden_units": dlrm_units, "compressed": dlrm_compressed, "activation": activation},
        }
        shape: Shape = (None, self.length, dimension)
        self.activation_checkpointing = activation_checkpointing
        self.dhen_layers = []
        for i in range(1, num_layers + 1):
            layer = DHENLayer(modules, num_outputs, ensemble, normalization, dropout, own, numeric, name=f"layer_{i}")
            layer.build(shape, values_shape)
            self.dhen_layers.append(layer)
            shape = layer.compute_output_shape(shape)
        self.width = shape[1] * dimension
        self.mlp = None
        if hidden_units:
            self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
            self.mlp.build((None, self.width))
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, hidden_units[-1] if hidden_units else self.width))
        self.built = True

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows and runs them through the layers."""
        x, values = self.first_list(inputs, training), values_of(inputs)
        tensors = {"embedding output x0": x}
        for layer in self.dhen_layers:
            run = recomputed(layer) if training and self.activation_checkpointing else layer
            tensors[f"output of {layer.name}"] = x = run(x, values, training=training)
        x = tf.reshape(x, [-1, self.width])
        if self.mlp is not None:
            tensors["output of mlp"] = x = self.mlp(x, training=training)
        tensors["logit"] = logit = self.estimator(x)
        parts = [self.numeric, *self.dhen_layers, self.mlp, self.estimator]
        per_row = sum(part.flops() for part in parts if part is not None)
        return Forward(logit=logit, flops=tf.cast(tf.shape(x)[0], tf.float32) * per_row, tensors=tensors)

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """Each module's list of embeddings, flattened to `[B, l * D]`, by layer."""
        x, values, outputs = self.first_list(inputs), values_of(inputs), {}
        for layer in self.dhen_layers:
            modules = layer.module_outputs(x, values)
            outputs[layer.name] = [tf.reshape(y, [-1, y.shape[1] * y.shape[2]]) for y in modules]
            x = layer(x, values)
        return outputs
