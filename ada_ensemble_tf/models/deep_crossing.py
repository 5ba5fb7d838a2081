"""Deep Crossing: a stack of residual units."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf.layers.estimator import Estimator
from ada_ensemble_tf.layers.residual_unit import ResidualUnit
from ada_ensemble_tf.models.base import CTRModel, Forward


@keras.saving.register_keras_serializable(package="ada_ensemble_tf")
class DeepCrossing(CTRModel):
    """w . x_L + b after L residual units over relu(embedding + b_0).

    Shan et al., "Deep Crossing", KDD 2016: equation 1 is the rectified embedding, equation 2 its stacking. Batch
    normalisation within the units is not the paper's; without it small embeddings train slowly.

    Args:
        num_rows, num_fields, widths, value_rows: what is read, see `CTRModel`.
        dimension: D.
        hidden_units: inner sizes of the L residual units.
        normalization, dropout: within the units, see `ResidualUnit`.
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
        normalization: str = "batch",
        dropout: float = 0.0,
        l2: float = 0.0,
        initial_logit: float = 0.0,
        name: str = "deep_crossing",
    ):
        super().__init__(num_rows, num_fields, widths, value_rows, l2, name=name)
        if not len(hidden_units) or min(hidden_units) < 1:
            raise ValueError(f"hidden_units must be one or more positive sizes; received {list(hidden_units)}")
        self.dimension = dimension
        self.hidden_units = tuple(int(units) for units in hidden_units)
        self.normalization = normalization
        self.dropout = dropout
        self.initial_logit = initial_logit
        self.embedding = self.make_embedding(dimension, "embedding")
        shape = (None, num_fields * dimension)
        self.embedding_bias = self.add_weight(
            name="embedding_bias", shape=shape[1:], initializer="zeros", autocast=False
        )
        self.units = []
        for i, units in enumerate(self.hidden_units, 1):
            self.units.append(ResidualUnit(units, normalization, dropout, name=f"unit_{i}"))
            self.units[-1].build(shape)
        self.estimator = Estimator(initial_logit, name="estimator")
        self.estimator.build(shape)
        self.built = True

    def forward(self, inputs, training=False) -> Forward:
        """Embeds the rows and runs them through the residual units."""
        embedded = self.embedding(inputs)
        x = tf.nn.relu(embedded + tf.cast(tf.convert_to_tensor(self.embedding_bias), embedded.dtype))
        tensors = {"embedding output": embedded, "rectified embedding x0": x}
        for unit in self.units:
            tensors[f"output of {unit.name}"] = x = unit(x, training=training)
        tensors["logit"] = logit = self.estimator(x)
        per_row = x.shape[1] + sum(unit.flops() for unit in self.units) + self.estimator.flops()
        return Forward(logit=logit, flops=tf.cast(tf.shape(x)[0], tf.float32) * per_row, tensors=tensors)

    def get_config(self):
        return super().get_config() | {
            "dimension": self.dimension,
            "hidden_units": list(self.hidden_units),
            "normalization": self.normalization,
            "dropout": self.dropout,
            "initial_logit": self.initial_logit,
        }
