"""xDeepInt: polynomial interactions of the fields, vector-wise and bit-wise."""

from typing import Any

import keras
import tensorflow as tf

from ada_ensemble_tf.arguments import ArgumentError, Count, Normalization
from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import full_precision, upcast
from ada_ensemble_tf.models.base import CTRModel
from ada_ensemble_tf.models.forward import Forward
from data_pipelines.read.inputs import Inputs


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class PolynomialInteraction(keras.layers.Layer):
    """x * (1 + W x0), without bias: each layer adds one degree and keeps the lower ones.

    xDeepInt (arXiv 2301.01089), the layer of its polynomial interaction network. W mixes the last axis. Under
    mixed precision x stays float32 and only W x0 is bfloat16: added to 1 in bfloat16, a small W x0 would round away.

    Call arguments:
        x0, x: `[N, X]`, N may be 0.

    Returns:
        `[N, X]`.

    Example:
        >>> PolynomialInteraction()(tf.ones([2, 3]), tf.ones([2, 3])).shape
        TensorShape([2, 3])
    """

    def __init__(self, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)

    def build(self, x0_shape: Shape, x_shape: Shape) -> None:
        self.dense = Dense(x_shape[-1], use_bias=False, name="dense")
        self.dense.build(x0_shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return upcast(x) * (1 + upcast(self.dense(x0)))

    def compute_output_shape(self, x0_shape: Shape, x_shape: Shape) -> Shape:
        return x_shape

    def flops(self) -> int:
        """Per row of x0: W x0, the one and the product with x."""
        width = self.dense.units
        return 2 * width * width + 2 * width


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class XDeepInt(CTRModel):
    """w . sum_d x_L,d + b with x_{l+1} = x_l * (1 + W_l x0), fields x0 `[F, D]` (xDeepInt, arXiv 2301.01089).

    W_l mixes fields with the same weights for all D elements, that is vector-wise. Subspace crossing cuts each field
    into h subspaces of size D / h and stacks them, x0 `[h * F, D / h]`, so that W_l mixes subspaces too; h = D is
    bit-wise. After the last layer the subspaces are joined again. w has one weight per field, as in the authors' code.
    Only the last layer's output is read: it contains all lower degrees, down to x0.

    Args:
        dimension: D, the size of an embedding.
        num_layers: L, the number of layers.
        subspaces: h, the number of subspaces of an embedding; it must divide D.
        embedding_normalization: normalisation of the embeddings: "batch", "layer" or "none". "none", as in
            the paper, learns fastest: each factor has a 1, so small embeddings start as a linear model, while
            embeddings of unit scale start as a random polynomial of degree L + 1.
        **common: the arguments of all models, see `CTRModel`.

    Example:
        >>> model = XDeepInt(num_rows=4, num_fields=2, dimension=2, num_layers=2, subspaces=2)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
    """

    registered_name = "xdeepint"

    def __init__(
        self,
        *,
        dimension: Count = 16,
        num_layers: Count = 4,
        subspaces: Count = 16,
        embedding_normalization: Normalization = "none",
        **common: Any,
    ):
        super().__init__(**common)
        if dimension % subspaces:
            raise ArgumentError("subspaces", f"divide dimension={dimension}", subspaces)
        self.dimension = dimension
        self.subspaces = subspaces
        self.embedding = self.make_embedding(dimension, "embedding", exact=True)
        self.normalize = make_normalization(embedding_normalization, "normalize", full_precision())
        self.normalize.build((None, self.num_fields * dimension))
        self.interactions = [PolynomialInteraction(name=f"interaction_{i}") for i in range(1, num_layers + 1)]
        shape = (None, subspaces * self.num_fields)
        for layer in self.interactions:
            layer.build(shape, shape)
        self.estimator = Estimator(self.initial_logit, name="estimator")
        self.estimator.build((None, self.num_fields))
        self.built = True

    def _stack(self, x0: tf.Tensor) -> tf.Tensor:
        """Turns `[B, F * D]` into `[B * D / h, h * F]`: W mixes the last axis."""
        size = self.dimension // self.subspaces
        cut = tf.reshape(x0, [-1, self.num_fields, self.subspaces, size])
        return tf.reshape(tf.transpose(cut, [0, 3, 2, 1]), [-1, self.subspaces * self.num_fields])

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Cuts the rows' fields into subspaces and runs them through the interactions."""
        embedded = self.normalize(self.embedding(inputs), training=training)
        x = x0 = self._stack(embedded)
        tensors = {"embedding output x0": embedded}
        for layer in self.interactions:
            tensors[f"output of {layer.name}"] = x = layer(x0, x)
        summed = tf.reduce_sum(tf.reshape(x, [-1, self.dimension, self.num_fields]), axis=1)
        tensors["logit"] = logit = self.estimator(summed)
        interactions = sum(layer.flops() for layer in self.interactions) * self.dimension // self.subspaces
        per_row = interactions + self.num_fields * self.dimension + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(embedded)[0], tf.float32) * per_row, tensors=tensors)
