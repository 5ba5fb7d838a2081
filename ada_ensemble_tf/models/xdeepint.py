"""xDeepInt: polynomial interactions of the fields, vector-wise and bit-wise."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.dense import Dense
from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import full_precision, upcast
from ada_ensemble_tf.models.base import CTRModel, Forward


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class PolynomialInteraction(keras.layers.Layer):
    """x * (1 + W x0), without bias: each layer adds one to the degree and keeps the lower ones.

    xDeepInt (arXiv 2301.01089), the layer of its polynomial interaction network. W mixes what is on the last axis.
    Under mixed precision x stays float32 and only W x0 is bfloat16: beside the 1, a small W x0 would be rounded away.

    Call arguments:
        x0, x: `[N, X]`, N may be 0.

    Returns:
        `[N, X]`.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def build(self, x0_shape, x_shape):
        self.dense = Dense(x_shape[-1], use_bias=False, name="dense")
        self.dense.build(x0_shape)

    def call(self, x0, x):
        return upcast(x) * (1 + upcast(self.dense(x0)))

    def compute_output_shape(self, x0_shape, x_shape):
        return x_shape

    def flops(self) -> int:
        """Per row of x0: W x0, the one and the product with x."""
        width = self.dense.units
        return 2 * width * width + 2 * width


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class XDeepInt(CTRModel):
    """w . sum_d x_L,d + b with x_{l+1} = x_l * (1 + W_l x0), fields x0 `[F, D]` (xDeepInt, arXiv 2301.01089).

    W_l mixes fields, all of D by the same weights: vector-wise. Subspace crossing cuts each field into h subspaces of
    size D / h and stacks them, x0 `[h * F, D / h]`, so that W_l mixes subspaces too; h = D is bit-wise. After the last
    layer the subspaces are put together again. w has one weight a field, as in the authors' code. The last layer's
    output has all lower degrees in it, down to x0, so it alone is read.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        num_layers: L.
        subspaces: h, which must divide D.
        embedding_normalization: of the embeddings: "batch", "layer" or "none". None, as in the paper, learns fastest:
            by the 1 in each factor, small embeddings start out as a linear model, where those of unit scale start
            out as a random polynomial of degree L + 1.
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
        subspaces: int = 16,
        embedding_normalization: str = "none",
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "xdeepint",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1; received {num_layers}")
        self.dimension = dimension
        self.subspaces = subspaces
        self.embedding_normalization = embedding_normalization
        self.initial_logit = initial_logit
        self.embedding = self.make_embedding(dimension, "embedding", exact=True)
        if subspaces < 1 or dimension % subspaces:
            raise ValueError(
                f"subspaces must be positive and divide dimension; "
                f"received subspaces={subspaces} and dimension={dimension}"
            )
        self.normalize = make_normalization(embedding_normalization, "normalize", full_precision())
        self.normalize.build((None, num_fields * dimension))
        self.interactions = [PolynomialInteraction(name=f"interaction_{i}") for i in range(1, num_layers + 1)]
        shape = (None, subspaces * num_fields)
        for layer in self.interactions:
            layer.build(shape, shape)
        self.estimator = Estimator(initial_logit, name="estimator")
        self.estimator.build((None, num_fields))
        self.built = True

    def _stack(self, x0: tf.Tensor) -> tf.Tensor:
        """`[B, F * D]` to `[B * D / h, h * F]`, the axis that W mixes last."""
        size = self.dimension // self.subspaces
        cut = tf.reshape(x0, [-1, self.num_fields, self.subspaces, size])
        return tf.reshape(tf.transpose(cut, [0, 3, 2, 1]), [-1, self.subspaces * self.num_fields])

    def forward(self, inputs, training=False) -> Forward:
        """Runs the rows' fields, cut into subspaces, through the interactions."""
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

    def get_config(self):
        return super().get_config() | {
            "dimension": self.dimension,
            "num_layers": len(self.interactions),
            "subspaces": self.subspaces,
            "embedding_normalization": self.embedding_normalization,
            "initial_logit": self.initial_logit,
        }
