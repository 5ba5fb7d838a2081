"""What every model of the zoo is."""

import dataclasses
import inspect
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, ClassVar

import keras
import tensorflow as tf
from msgspec import Meta

from ada_ensemble_tf import losses
from ada_ensemble_tf.arguments import (
    ArgumentError,
    Count,
    CountOrZero,
    Counts,
    Number,
    Weight,
    check_arguments,
    constructor_parameters,
    plain,
)
from ada_ensemble_tf.gates import Gate, GateReport
from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.embedding import FusedEmbedding, Inputs, ids_of
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import full_precision, layers_of
from ada_ensemble_tf.updates.bilevel import BilevelModel

ValueRows = Annotated[
    tuple[tuple[CountOrZero, CountOrZero], ...], Meta(description="be pairs of a field's position and a row")
]
_PLAIN = (bool, int, float, str, list, dict, NoneType)


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

    A subclass builds its layers in `__init__` (all sizes are known there) and gives `forward`. Its constructor declares
    each argument once: default, range (by types of `ada_ensemble_tf.arguments`) and sentence (in the docstring). What
    all models have it hands on as `**common`. Arguments are checked and recorded before `__init__` runs, so that
    `get_config` needs no code. Training, evaluation, saving and export are the same for all. All arguments are by name.

    Args:
        num_rows: V, rows of the embedding table; `Schema.num_rows`.
        num_fields: F; `Schema.num_fields`.
        widths: columns of ids of each field, C in all; `Schema.widths`. None is one each.
        value_rows: (position, row of read values) of each of the N fields with a float, see `FusedEmbedding`.
        l2: coefficient of the sum of squares of all dense kernels.
        initial_logit: initial bias of the estimators; the log-odds of the base rate is a good one.
        name: the model's name; by default the one it is registered by.

    Raises:
        ArgumentError: for an argument out of its range, named in the message; a ValueError.
    """

    registered_name: ClassVar[str]
    """The model's name in `models.MODELS`."""
    withheld: ClassVar[frozenset[str]] = frozenset()
    """Arguments of the base class's constructor that this model does not have."""
    epochs: ClassVar[Mapping[str, Any]] = {}
    """Arguments in weight updates that configs give in epochs, with the config's default."""

    def __new__(cls, **arguments: Any):
        """Checks and records the arguments, defaults included."""
        parameters = constructor_parameters(cls, CTRModel)
        if unknown := sorted(arguments.keys() - parameters.keys()):
            raise TypeError(f"{cls.__name__} has no argument {', '.join(unknown)}; it has {', '.join(parameters)}")
        check_arguments(parameters, arguments)
        model = super().__new__(cls)
        defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
        # Past Keras' tracking of attributes, which is for layers and variables.
        vars(model)["_arguments"] = plain(defaults | arguments)
        return model

    def __init__(
        self,
        *,
        num_rows: Count,
        num_fields: Count,
        widths: Counts | None = None,
        value_rows: ValueRows = (),
        l2: Weight = 1e-4,
        initial_logit: Number = 0.0,
        name: str | None = None,
    ):
        # Values beside the ids keep their digits under mixed precision; each layer casts what it takes.
        super().__init__(autocast=False, name=name or self.registered_name)
        if widths is not None and len(widths) != num_fields:
            raise ArgumentError("widths", f"be those of num_fields={num_fields} fields", list(widths))
        self.num_rows = num_rows
        self.num_fields = num_fields
        self.widths = None if widths is None else tuple(widths)
        self.value_rows = tuple((position, row) for position, row in value_rows)
        self.l2 = l2
        self.initial_logit = initial_logit

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
        dtype = full_precision() if exact else None
        embedding = FusedEmbedding(
            self.num_rows, dimension, initial_scale, self.widths, self.value_rows, dtype=dtype, name=name
        )
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

    def call(self, inputs: Inputs, training: bool = False) -> tf.Tensor:
        return tf.sigmoid(self.forward(inputs, training).logit)

    def compute_output_shape(self, inputs_shape: Shape | Mapping[str, Shape]) -> Shape:
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
        return [v for layer in all_layers(self) if isinstance(layer, Gate) for v in layer.trainable_variables]

    @property
    def embedding_variables(self) -> list[keras.Variable]:
        """The embedding tables: the part of W that the embedding optimiser updates."""
        return [
            v
            for layer in all_layers(self)
            if isinstance(layer, FusedEmbedding)
            for v in layer.trainable_variables
        ]

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """The rest of W: all trainable variables that are neither gates nor embedding tables."""
        apart = {id(v) for v in self.gate_variables + self.embedding_variables}
        return [v for v in self.trainable_variables if id(v) not in apart]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the model's name and precision."""
        arguments = {name: _serialized(value) for name, value in self._arguments.items()}
        return arguments | {"name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "CTRModel":
        """The model of `get_config`, in the precision of the one that gave it: its "dtype", or else float32."""
        arguments = {name: _deserialized(value) for name, value in config.items() if name != "dtype"}
        with layers_of(config.get("dtype", "float32")):
            return cls(**arguments)


def _serialized(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else keras.saving.serialize_keras_object(value)


def _deserialized(value: Any) -> Any:
    is_object = isinstance(value, Mapping) and "class_name" in value
    return keras.saving.deserialize_keras_object(value) if is_object else value
