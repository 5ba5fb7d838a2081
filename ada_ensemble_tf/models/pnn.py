"""Product-based neural network."""

from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from msgspec import Meta

from ada_ensemble_tf.arguments import ArgumentError, Count, Normalization, Share, SomeCounts
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs

Products = Annotated[
    tuple[Literal["inner", "outer"], ...], Meta(min_length=1, description="be one or both of 'inner' and 'outer'")
]


def inner_products(fields: tf.Tensor) -> tf.Tensor:
    """Computes <f_i, f_j> for all i <= j, in the order of the upper triangle's rows.

    Args:
        fields: `[B, F, D]`.

    Returns:
        `[B, F * (F + 1) / 2]`.
    """
    count = fields.shape[1]
    products = tf.reshape(tf.matmul(fields, fields, transpose_b=True), [-1, count * count])
    return tf.gather(products, np.flatnonzero(np.triu(np.ones([count, count]))), axis=1)


def outer_product(fields: tf.Tensor) -> tf.Tensor:
    """f f^T of the fields' sum f: the sum of f_i f_j^T over all i and j.

    Args:
        fields: `[B, F, D]`.

    Returns:
        `[B, D * D]`.
    """
    total = tf.reduce_sum(fields, axis=1)
    return tf.reshape(total[:, :, None] * total[:, None, :], [-1, fields.shape[2] ** 2])


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class PNN(CTRModel):
    """w . MLP([z, p]) + b: z the embeddings, p their products (PNN, arXiv 1611.00144, equations 1 to 7).

    The first dense layer, relu(W_z z + W_p p + b_1), is the paper's product layer. The inner products (IPNN) are those
    of pairs i <= j. With their W_p they are the paper's symmetric matrix of weights over all pairs, without the
    factorisation of W_p that saves work. The outer product (OPNN) is that of the summed embeddings.

    Args:
        dimension: D, the size of an embedding.
        products: which products p has: "inner", "outer" or both (the paper's PNN*).
        hidden_units, activation, normalization, dropout: for the dense layers; see `MLP`.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = PNN(num_rows=4, num_fields=2, dimension=2, hidden_units=(4,))
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "pnn"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        products: Products = ("inner", "outer"),
        hidden_units: SomeCounts = (400, 400, 400),
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        if len(set(products)) != len(products):
            raise ArgumentError("products", "be one or both of 'inner' and 'outer'", list(products))
        self.dimension = dimension
        self.products = tuple(products)
        self.embedding = self.make_embedding(dimension, "embedding")
        pairs, squares = self.num_fields * (self.num_fields + 1) // 2, dimension * dimension
        width = self.num_fields * dimension + pairs * ("inner" in products) + squares * ("outer" in products)
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build((None, width))
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1]))
        self.built = True

    def _product_flops(self) -> int:
        """Per row: all F^2 inner products, as they are computed; the sum of the fields and its D^2 products."""
        fields, dimension = self.num_fields, self.dimension
        inner = 2 * fields * fields * dimension
        outer = fields * dimension + dimension * dimension
        return inner * ("inner" in self.products) + outer * ("outer" in self.products)

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Embeds the rows and runs them and their products through the dense layers."""
        x0 = self.embedding(inputs)
        fields = tf.reshape(x0, [-1, self.num_fields, self.dimension])
        tensors = {"embedding output x0": x0}
        signals = [x0]
        # A fixed order: what a weight means must not depend on the order of `products`.
        if "inner" in self.products:
            tensors["inner products"] = inner_products(fields)
            signals.append(tensors["inner products"])
        if "outer" in self.products:
            tensors["outer product"] = outer_product(fields)
            signals.append(tensors["outer product"])
        tensors["output of mlp"] = hidden = self.mlp(tf.concat(signals, axis=1), training=training)
        tensors["logit"] = logit = self.estimator(hidden)
        per_row = self._product_flops() + self.mlp.flops() + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(x0)[0], tf.float32) * per_row, tensors=tensors)
