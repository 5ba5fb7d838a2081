"""DHEN: a deep and hierarchical ensemble of interaction modules."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.dhen import DHENLayer
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.models.base import CTRModel, Forward

MAX_LAYERS = 8


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DHEN(CTRModel):
    """Stacked ensembles of interaction modules over lists of embeddings (DHEN, arXiv 2203.11014).

    X_0 is the list of the fields' embeddings. Where the data has fields with floats, an MLP maps all of them to one
    more embedding, as in DLRM (section 2.1); missing ones are read as their mean, 0. The layers are X_{n+1} =
    Norm(Ensemble_i Interaction_i(X_n) + ShortCut(X_n)), see `DHENLayer`. The last list, flattened, goes to the
    estimator, by option through dense layers. The default modules are those of the paper's table 2.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        num_layers: stacked layers, 1 to 8.
        modules: names of the interaction modules in each layer, see `ada_ensemble_tf.dhen.MODULES`.
        num_outputs: l, embeddings that each module gives.
        ensemble: "concat", "sum" or "weighted_sum" of what the modules give.
        heads: of the module "attention"; they must divide D.
        filters: of the module "convolution".
        dlrm_units: sizes of the MLP in the module "dlrm".
        dlrm_compressed: embeddings that "dlrm" takes dot products of, after a projection; 0 is all, without one.
        numeric_units: sizes of the floats' MLP, to which one of size D is added.
        hidden_units: sizes of dense layers before the estimator; none by default.
        activation: of all these MLPs, a Keras activation.
        normalization: of the DHEN layers and of `hidden_units`: "layer", "batch" or "none".
        dropout: share of the numbers of each layer's ensemble, and of the outputs of `hidden_units`, that training
            sets to 0.
        embedding_normalization: of X_0: "batch", "layer" or "none". The paper has none, but products of small
            embeddings start out as nothing, and the other models of this zoo that multiply them have it.
        l2: coefficient of the sum of squares of all dense kernels.
        initial_logit: initial bias of the estimator; the log-odds of the base rate is a good one.

    Raises:
        ValueError: for arguments out of range, named in the message.
    """

    def __init__(
        self,
        num_rows: int,
        num_fields: int,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        dimension: int = 16,
        num_layers: int = 4,
        modules: Sequence[str] = ("dlrm", "linear"),
        num_outputs: int = 16,
        ensemble: str = "concat",
        heads: int = 2,
        filters: int = 4,
        dlrm_units: Sequence[int] = (256,),
        dlrm_compressed: int = 0,
        numeric_units: Sequence[int] = (64,),
        hidden_units: Sequence[int] = (),
        activation: str = "relu",
        normalization: str = "layer",
        dropout: float = 0.0,
        embedding_normalization: str = "batch",
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "dhen",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if not 1 <= num_layers <= MAX_LAYERS:
            raise ValueError(f"num_layers must lie in [1, {MAX_LAYERS}]; received {num_layers}")
        self.dimension = dimension
        self.numeric_units = tuple(numeric_units)
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.embedding_normalization = embedding_normalization
        self.initial_logit = initial_logit
        # What `get_config` gives back as it came.
        self.layer_arguments = {
            "num_layers": num_layers,
            "modules": list(modules),
            "num_outputs": num_outputs,
            "ensemble": ensemble,
            "heads": heads,
            "filters": filters,
            "dlrm_units": list(dlrm_units),
            "dlrm_compressed": dlrm_compressed,
            "normalization": normalization,
            "dropout": dropout,
        }
        self.embedding = self.make_embedding(dimension, "embedding")
        self.numeric = None
        if self.value_rows:
            self.numeric = MLP((*self.numeric_units, dimension), activation, name="numeric")
            self.numeric.build((None, len(self.value_rows)))
        self.length = num_fields + (self.numeric is not None)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build((None, self.length * dimension))
        own = {
            "attention": {"heads": heads},
            "convolution": {"filters": filters},
            "dlrm": {"hidden_units": dlrm_units, "compressed": dlrm_compressed, "activation": activation},
        }
        shape = (None, self.length, dimension)
        self.dhen_layers = []
        for i in range(1, num_layers + 1):
            layer = DHENLayer(modules, num_outputs, ensemble, normalization, dropout, own, name=f"layer_{i}")
            layer.build(shape)
            self.dhen_layers.append(layer)
            shape = layer.compute_output_shape(shape)
        self.width = shape[1] * dimension
        self.mlp = None
        if self.hidden_units:
            self.mlp = MLP(self.hidden_units, activation, normalization, dropout, name="mlp")
            self.mlp.build((None, self.width))
        self.estimator = Estimator(initial_logit, name="estimator")
        self.estimator.build((None, self.hidden_units[-1] if self.hidden_units else self.width))
        self.built = True

    def _embeddings(self, inputs, training) -> tf.Tensor:
        """X_0: `[B, m, D]`."""
        x = self.embedding(inputs)
        if self.numeric is not None:
            x = tf.concat([x, self.numeric(inputs["values"], training=training)], axis=1)
        return tf.reshape(self.normalize(x, training=training), [-1, self.length, self.dimension])

    def forward(self, inputs, training=False) -> Forward:
        """Embeds the rows and runs them through the layers."""
        x = self._embeddings(inputs, training)
        tensors = {"embedding output x0": x}
        for layer in self.dhen_layers:
            tensors[f"output of {layer.name}"] = x = layer(x, training=training)
        x = tf.reshape(x, [-1, self.width])
        if self.mlp is not None:
            tensors["output of mlp"] = x = self.mlp(x, training=training)
        tensors["logit"] = logit = self.estimator(x)
        parts = [self.numeric, *self.dhen_layers, self.mlp, self.estimator]
        per_row = sum(part.flops() for part in parts if part is not None)
        return Forward(logit=logit, flops=tf.cast(tf.shape(x)[0], tf.float32) * per_row, tensors=tensors)

    def expert_outputs(self, inputs) -> dict[str, list[tf.Tensor]]:
        """By layer, the list of each module, flattened: `[B, l * D]`."""
        x, outputs = self._embeddings(inputs, training=False), {}
        for layer in self.dhen_layers:
            modules = layer.module_outputs(x)
            outputs[layer.name] = [tf.reshape(y, [-1, y.shape[1] * y.shape[2]]) for y in modules]
            x = layer(x)
        return outputs

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "dimension": self.dimension,
            **self.layer_arguments,
            "numeric_units": list(self.numeric_units),
            "hidden_units": list(self.hidden_units),
            "activation": self.activation,
            "embedding_normalization": self.embedding_normalization,
            "initial_logit": self.initial_logit,
        }
