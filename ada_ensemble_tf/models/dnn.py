"""The plain deep network."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.mlp import MLP
from ada_ensemble_tf.models.base import CTRModel, Forward


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DNN(CTRModel):
    """w . MLP(x0) + b: implicit interactions only (DNN of AdaEnsemble, arXiv 2301.08353, table 1).

    The same network as the deep part of Wide & Deep (arXiv 1606.07792), equation 2. Batch normalisation is not the
    papers'; without it small embeddings train slowly.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        hidden_units, activation, normalization, dropout: of the dense layers, see `MLP`.
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
        hidden_units: Sequence[int] = (400, 400, 400),
        activation: str = "relu",
        normalization: str = "batch",
        dropout: float = 0.0,
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "dnn",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        self.dimension = dimension
        self.initial_logit = initial_logit
        self.embedding = self.make_embedding(dimension, "embedding")
        self.mlp = MLP(hidden_units, activation, normalization, dropout, name="mlp")
        self.mlp.build((None, num_fields * dimension))
        self.estimator = Estimator(initial_logit, name="estimator")
        self.estimator.build((None, self.mlp.hidden_units[-1]))
        self.built = True

    def forward(self, inputs, training=False) -> Forward:
        """Embeds the rows and runs them through the dense layers."""
        x0 = self.embedding(inputs)
        hidden = self.mlp(x0, training=training)
        logit = self.estimator(hidden)
        rows = tf.cast(tf.shape(x0)[0], tf.float32)
        return Forward(
            logit=logit,
            flops=rows * (self.mlp.flops() + self.estimator.flops()),
            tensors={"embedding output x0": x0, "output of mlp": hidden, "logit": logit},
        )

    def get_config(self):
        return super().get_config() | {
            "dimension": self.dimension,
            **self.mlp.arguments(),
            "initial_logit": self.initial_logit,
        }
