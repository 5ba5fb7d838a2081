"""What every model of the zoo is."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from ada_ensemble_tf import losses
from ada_ensemble_tf.gates import Gate, GateReport
from ada_ensemble_tf.layers.embedding import FusedEmbedding, Inputs, ids_of
from ada_ensemble_tf.layers.precision import full_precision, layers_of
from ada_ensemble_tf.updates.bilevel import BilevelModel


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
    """A click-through-rate model: rows in, click probability `[B]` out.

    Rows come as ids `[B, C]`, or where the data has fields with a float as {"ids": ids, "values": float `[B, N]`}; what
    is called `inputs` anywhere is either, by the model's `input_signature`.

    A subclass builds its layers in `__init__` (all sizes are known there), gives `forward`, and hands its
    constructor arguments to `get_config`. Training, evaluation, saving and export are the same for all.

    Args:
        num_rows: V, rows of the embedding table; `Schema.num_rows`.
        num_fields: F; `Schema.num_fields`.
        widths: columns of ids of each field, C in all; `Schema.widths`. None is one each.
        value_rows: (position, row of read values) of each of the N fields with a float, see `FusedEmbedding`.
        l2: coefficient of the sum of squares of all dense kernels.

    Raises:
        ValueError: if `widths` are not those of `num_fields` fields.
    """

    def __init__(
        self,
        num_rows: int,
        num_fields: int,
        widths: Sequence[int] | None = None,
        value_rows: Sequence[tuple[int, int]] = (),
        l2: float = 0.0,
        **kwargs,
    ):
        # Values beside the ids keep their digits under mixed precision; each layer casts what it takes.
        super().__init__(autocast=False, **kwargs)
        if widths is not None and len(widths) != num_fields:
            raise ValueError(f"widths must be those of num_fields={num_fields} fields; received {list(widths)}")
        self.num_rows = num_rows
        self.num_fields = num_fields
        self.widths = None if widths is None else tuple(widths)
        self.value_rows = tuple(tuple(pair) for pair in value_rows)
        self.l2 = l2

    @property
    def input_signature(self) -> Inputs:
        """What `forward` takes, as tf.TensorSpec: int32 ids `[B, C]`, or the dictionary of them and float32 values."""
        ids = tf.TensorSpec([None, sum(self.widths) if self.widths else self.num_fields], tf.int32)
        return {"ids": ids, "values": tf.TensorSpec([None, len(self.value_rows)])} if self.value_rows else ids

    def make_embedding(
        self, dimension: int, name: str, initial_scale: float = 0.01, exact: bool = False
    ) -> FusedEmbedding:
        """A built table of all fields.

        Args:
            dimension: D.
            name: the layer's name.
            initial_scale: standard deviation of the initial values.
            exact: whether what it gives is float32 under mixed precision too, as what is summed into a logit must be.
        """
        reads = (self.widths, self.value_rows)
        dtype = full_precision() if exact else None
        embedding = FusedEmbedding(self.num_rows, dimension, initial_scale, *reads, dtype=dtype, name=name)
        embedding.build(tf.nest.map_structure(lambda spec: tuple(spec.shape), self.input_signature))
        return embedding

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs rows through the model."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """By layer, what each expert makes of all rows in inference: `[B, A_j]`; {} for a model without experts.

        Of these is Cross-Expert Correlation, see `metrics.cross_expert_correlation`.
        """
        del inputs
        return {}

    def call(self, inputs, training=False):
        return tf.sigmoid(self.forward(inputs, training).logit)

    def compute_output_shape(self, inputs_shape):
        return (ids_of(inputs_shape)[0],)

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
        return {
            "name": self.name,
            "dtype": self.dtype_policy.name,
            "num_rows": self.num_rows,
            "num_fields": self.num_fields,
            "widths": None if self.widths is None else list(self.widths),
            "value_rows": [list(pair) for pair in self.value_rows],
            "l2": self.l2,
        }

    @classmethod
    def from_config(cls, config):
        """The model of `get_config`, in the precision of the one that gave it: its "dtype", or else float32."""
        config = dict(config)
        with layers_of(config.pop("dtype", "float32")):
            return cls(**config)
