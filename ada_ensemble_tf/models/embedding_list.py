"""What DHEN and DLRM begin with: the embeddings of a row's fields, and one of its floats."""

import tensorflow as tf

from ada_ensemble_tf.arguments import Counts, Normalization
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.layers.normalization import make_normalization
from ada_ensemble_tf.layers.precision import Activation
from ada_ensemble_tf.models.base import CTRModel
from data_pipelines.read.inputs import Inputs, values_of


class EmbeddingListModel(CTRModel):
    """A model whose first layer is the list of DLRM (arXiv 1906.00091).

    X_0 `[B, m, D]` is the list of the fields' embeddings. If the data has fields with floats, an MLP maps them all to
    one more embedding. A subclass calls `make_list` in its constructor.
    """

    def make_list(
        self, dimension: int, numeric_units: Counts, activation: Activation, embedding_normalization: Normalization
    ) -> None:
        """Makes the embeddings, the floats' MLP and the normalisation of all of them.

        Args:
            dimension: D.
            numeric_units: the sizes of the MLP; a layer of size D follows them.
            activation: the MLP's Keras activation.
            embedding_normalization: "batch", "layer" or "none".
        """
        self.dimension = dimension
        self.embedding = self.make_embedding(dimension, "embedding")
        self.numeric = None
        if self.value_rows:
            self.numeric = MLP((*numeric_units, dimension), activation, name="numeric")
            self.numeric.build((None, len(self.value_rows)))
        self.length = self.num_fields + (self.numeric is not None)
        self.normalize = make_normalization(embedding_normalization, "normalize")
        self.normalize.build((None, self.length * dimension))

    def first_list(self, inputs: Inputs, training: bool = False) -> tf.Tensor:
        """X_0: `[B, m, D]`."""
        x = self.embedding(inputs)
        if self.numeric is not None:
            x = tf.concat([x, self.numeric(values_of(inputs), training=training)], axis=1)
        return tf.reshape(self.normalize(x, training=training), [-1, self.length, self.dimension])
