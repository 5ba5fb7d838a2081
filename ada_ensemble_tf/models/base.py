"""What every model of the zoo is."""

import dataclasses

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.embedding import FusedEmbedding
from ada_ensemble_tf.gates import Gate, GateReport
from ada_ensemble_tf.training.bilevel import BilevelModel


@dataclasses.dataclass
class Forward:
    """What a forward pass gives: the prediction and all that losses, reports and diagnosis read."""

    logit: tf.Tensor
    """`[B]` float32."""
    flops: tf.Tensor
    """FLOPs spent on the batch as routed, a float32 scalar."""
    terms: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    """Auxiliary loss terms by name, each a weighted scalar."""
    reports: dict[str, GateReport] = dataclasses.field(default_factory=dict)
    """Gate reports by the gate's place: layer_1 .. layer_L, depth."""
    tensors: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    """Intermediate tensors in the order of computation, for naming the first that is not finite."""
    exit_logits: tf.Tensor | None = None
    """`[B, L]` logits of the exits, for models that have several."""
    exit_gates: tf.Tensor | None = None
    """`[B, L]` gates over the exits."""


class CTRModel(BilevelModel):
    """A click-through-rate model: ids `[B, F]` in, click probability `[B]` out.

    A subclass builds its layers in `__init__` (all sizes are known there), gives `forward`, and hands its
    constructor arguments to `get_config`. Training, evaluation, saving and export are the same for all.

    Args:
        num_rows: V, rows of the embedding table; `Schema.num_rows`.
        num_fields: F; `Schema.num_fields`.
        l2: coefficient of the sum of squares of all dense kernels.
    """

    def __init__(self, num_rows: int, num_fields: int, l2: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_rows = num_rows
        self.num_fields = num_fields
        self.l2 = l2

    def forward(self, ids: tf.Tensor, training: bool = False) -> Forward:
        """Runs ids `[B, F]` through the model."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def call(self, ids, training=False):
        return tf.sigmoid(self.forward(ids, training).logit)

    def compute_output_shape(self, ids_shape):
        return (ids_shape[0],)

    def objective(self, forward: Forward, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """The terms of the loss by name; the loss is their sum. `labels` are `[B]` float in {0, 1}."""
        terms = {"log_loss": losses.log_loss(labels, forward.logit)} | forward.terms
        if self.l2:
            kernels = [v for v in self.weight_variables if v.path.endswith("kernel")]
            terms["l2"] = self.l2 * tf.add_n([tf.reduce_sum(tf.square(tf.convert_to_tensor(v))) for v in kernels])
        return terms

    @property
    def gate_variables(self) -> list[keras.Variable]:
        """Alpha of bi-level training: the variables of all gates, temperatures and choice embeddings included."""
        return [v for layer in self._flatten_layers() if isinstance(layer, Gate) for v in layer.trainable_variables]

    @property
    def embedding_variables(self) -> list[keras.Variable]:
        """The embedding tables: the part of W that the embedding optimiser updates."""
        return [
            v
            for layer in self._flatten_layers()
            if isinstance(layer, FusedEmbedding)
            for v in layer.trainable_variables
        ]

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """The rest of W: all trainable variables that are neither gates nor embedding tables."""
        apart = {id(v) for v in self.gate_variables + self.embedding_variables}
        return [v for v in self.trainable_variables if id(v) not in apart]

    def get_config(self):
        return {"name": self.name, "num_rows": self.num_rows, "num_fields": self.num_fields, "l2": self.l2}
