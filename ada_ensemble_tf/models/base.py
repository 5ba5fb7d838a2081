"""What every model of the zoo is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

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
    Positive,
    Weight,
)
from ada_ensemble_tf.gates import Gate
from ada_ensemble_tf.keras_private import all_layers
from ada_ensemble_tf.layers.calibration import Calibration
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.layers.fields import Shape
from ada_ensemble_tf.layers.precision import full_precision, layers_of
from ada_ensemble_tf.layers.sharded_layer import sum_of_squares
from ada_ensemble_tf.models.forward import Forward
from ada_ensemble_tf.models.recorded_arguments import RecordedArguments
from ada_ensemble_tf.plugins import allow_plugins, plugins_of
from ada_ensemble_tf.updates.bilevel import BilevelModel
from data_pipelines.fields.schema import Schema
from data_pipelines.read.inputs import Inputs, ids_of, make_inputs

Model = TypeVar("Model", bound="CTRModel")

FrozenRows = Annotated[
    tuple[CountOrZero, CountOrZero], Meta(description="be the size of embeddings and a number of rows, or 0 and 0")
]
ValueRows = Annotated[
    tuple[tuple[CountOrZero, CountOrZero], ...], Meta(description="be pairs of a field's position and a row")
]
_NO_ARGUMENTS = ("dtype", "calibration", "plugins")


def model_inputs(schema: Schema) -> dict[str, Any]:
    """A model's constructor arguments that describe its inputs.

    A value field's row for values that were read is its first after the out-of-vocabulary row, because its vocabulary
    begins with that level.
    """
    return {
        "num_rows": schema.num_rows,
        "num_fields": schema.num_fields,
        "widths": schema.widths,
        "value_rows": [(i, schema.fields[i].offset + 1) for i in schema.value_fields],
        "frozen_rows": schema.frozen_rows,
    }


class CTRModel(RecordedArguments, BilevelModel):
    """A click-through-rate model: rows in, click probability `[B]` out.

    Rows come as ids `[B, C]`, or, if the data has fields with a float, as {"ids": ids, "values": float `[B, N]`}. The
    argument `inputs` is one or the other; `input_signature` tells which.

    A subclass builds its layers in `__init__`, where all sizes are known, and defines `forward`. Its constructor
    declares each argument once: the default, the range (a type of `ada_ensemble_tf.arguments`) and the sentence (in the
    docstring). It passes the arguments of all models on as `**common`. Arguments are checked and recorded before
    `__init__` runs, so a model needs no `get_config`. Training, evaluation, saving and export are the same for all
    models. All arguments are keyword-only.

    Args:
        num_rows: V, the number of rows of the embedding table; `Schema.num_rows`.
        num_fields: F; `Schema.num_fields`.
        widths: the number of id columns of each field, C in total; `Schema.widths`. None means one each.
        value_rows: (position, row of read values) for each of the N fields with a float, see `FusedEmbedding`.
        frozen_rows: (D, number of rows that get no update in the tables of that D); `Schema.frozen_rows`.
        l2: the coefficient of the sum of squares of all dense kernels.
        initial_logit: the initial bias of the estimators; the log-odds of the base rate is a good choice.
        logit_shift: added to the logit outside of training: ln R if training saw a share R of the negatives, so that
            q = p / (p + (1 - p) / R) is predicted for all rows (He et al., ADKDD 2014, section 6.3).
        embedding_scale: the standard deviation of the embeddings' initial values; None means 1 / sqrt(D).
        embedding_truncated: whether initial values beyond two standard deviations are drawn again. None and True are
            AdaEnsemble's original release.
        table_dtype: the type in which embedding tables are stored, "float32", or "bfloat16" or "float16" for half the
            memory; updates are rounded by chance, which needs a row-sparse embedding optimiser.
        name: the model's name; by default its name in `models.MODELS`.

    Attributes:
        calibration: the map from logits to the logits of the predictions, fitted after training; None for none.

    Raises:
        ArgumentError: if an argument is out of its range. The message names it.

    Example:
        >>> class Linear(CTRModel):
        ...     registered_name = "linear"
        ...
        ...     def __init__(self, *, scale: float = 1.0, **common):
        ...         super().__init__(**common)
        ...         self.table, self.scale = self.make_embedding(1, "table"), scale
        ...         self.built = True
        ...
        ...     def forward(self, inputs, training=False):
        ...         logit = self.scale * tf.reduce_sum(self.table(inputs), axis=1)
        ...         return Forward(logit=logit, flops=self.table.rows_read(inputs), tensors={"logit": logit})
        >>> model = Linear(num_rows=4, num_fields=2, scale=0.5)
        >>> model(tf.constant([[0, 1], [2, 3]])).shape
        TensorShape([2])
        >>> model.get_config()["scale"]
        0.5
    """

    registered_name: ClassVar[str]
    """The model's name in `models.MODELS`."""
    withheld: ClassVar[frozenset[str]] = frozenset()
    """Arguments of the base class's constructor that this model does not accept."""
    epochs: ClassVar[Mapping[str, Any]] = {}
    """Arguments that count weight updates but that configs give in epochs, with the config's default."""

    def __init__(
        self,
        *,
        num_rows: Count,
        num_fields: Count,
        widths: Counts | None = None,
        value_rows: ValueRows = (),
        frozen_rows: FrozenRows = (0, 0),
        l2: Weight = 1e-4,
        initial_logit: Number = 0.0,
        logit_shift: Number = 0.0,
        embedding_scale: Positive | None = 0.01,
        embedding_truncated: bool = False,
        table_dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        name: str | None = None,
    ):
        if keras.config.dtype_policy().compute_dtype == "float16":
            raise ValueError(
                f"{type(self).__name__}: the policy {keras.config.dtype_policy().name!r} is not supported: float16 "
                "needs a scaled loss; use 'mixed_bfloat16' or 'float32'"
            )
        # No cast to bfloat16, which would round the floats that come with the ids; each layer casts its own inputs.
        super().__init__(autocast=False, name=name or self.registered_name)
        if widths is not None and len(widths) != num_fields:
            raise ArgumentError("widths", f"be those of num_fields={num_fields} fields", list(widths))
        self.num_rows = num_rows
        self.num_fields = num_fields
        self.widths = None if widths is None else tuple(widths)
        self.value_rows = tuple((position, row) for position, row in value_rows)
        self.frozen_rows = tuple(frozen_rows)
        self.l2 = l2
        self.initial_logit = initial_logit
        self.logit_shift = logit_shift
        self.calibration: Calibration | None = None
        self.embedding_scale = embedding_scale
        self.embedding_truncated = embedding_truncated
        self.table_dtype = table_dtype

    @classmethod
    def from_schema(cls: type[Model], schema: Schema, **arguments: Any) -> Model:
        """Makes a model for the fields of prepared data.

        Args:
            schema: the data's; it gives `num_rows`, `num_fields`, `widths`, `value_rows` and `frozen_rows`.
            arguments: the constructor's other arguments.
        """
        return cls(**model_inputs(schema), **arguments)

    def export(
        self,
        filepath: str | Path,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Keras' export of a graph that takes encoded rows, by default those of `input_signature`.

        `python -m ada_ensemble_tf.export` writes a SavedModel that takes the raw log's own columns.
        """
        super().export(filepath, format, verbose, input_signature or [self.input_signature], **options)

    @property
    def input_signature(self) -> Inputs:
        """The inputs of `forward` as tf.TensorSpec: int32 ids `[B, C]`, or a dictionary of ids and float32 values."""
        ids = tf.TensorSpec([None, sum(self.widths) if self.widths else self.num_fields], tf.int32)
        return make_inputs(ids, tf.TensorSpec([None, len(self.value_rows)]) if self.value_rows else None)

    def make_embedding(
        self, dimension: int, name: str, initial_scale: float | None = None, exact: bool = False
    ) -> FusedEmbedding:
        """Makes and builds an embedding table for all fields.

        Args:
            dimension: D.
            name: the layer's name.
            initial_scale: the standard deviation of the initial values; by default the model's `embedding_scale`.
            exact: whether its output is float32 even under mixed precision, as everything summed into a logit must be.
        """
        dtype = full_precision() if exact else None
        if initial_scale is None:
            initial_scale = dimension**-0.5 if self.embedding_scale is None else self.embedding_scale
        table_dtype = None if self.table_dtype == "float32" else self.table_dtype
        size, count = self.frozen_rows
        frozen = count if dimension == size else 0
        drawn = (initial_scale, self.widths, self.value_rows, self.embedding_truncated, table_dtype, frozen)
        embedding = FusedEmbedding(self.num_rows, dimension, *drawn, dtype=dtype, name=name)
        embedding.build(tf.nest.map_structure(lambda spec: tuple(spec.shape), self.input_signature))
        return embedding

    def forward(self, inputs: Inputs, training: bool = False) -> Forward:
        """Runs rows through the model."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def expert_outputs(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """Each expert's output for all rows in inference, `[B, A_j]`, by layer; {} if the model has no experts.

        `metrics.cross_expert_correlation` measures how alike they are.
        """
        del inputs
        return {}

    def call(self, inputs: Inputs, training: bool = False) -> tf.Tensor:
        return tf.sigmoid(self.served_logit(self.forward(inputs, training)))

    def compute_output_shape(self, inputs_shape: Shape | Mapping[str, Shape]) -> Shape:
        return (ids_of(inputs_shape)[0],)

    def served_logit(self, forward: Forward) -> tf.Tensor:
        """The logit `[B]` whose sigmoid is the prediction: that of `forward`, corrected and calibrated.

        Losses of training take it as it is.
        """
        logit = self.corrected(forward.logit)
        return logit if self.calibration is None else self.calibration(logit)

    def objective(self, forward: Forward, labels: tf.Tensor, weights: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """The terms of the loss by name; their sum is the loss. `labels` are `[B]` float, 0 or 1, `weights` `[B]`."""
        terms = {"log_loss": losses.log_loss(labels, forward.logit, weights)} | forward.terms
        if self.l2:
            kernels = [v for v in self.weight_variables if v.path.endswith("kernel")]
            terms["l2"] = self.l2 * sum_of_squares(kernels)
        return terms

    @property
    def gate_variables(self) -> list[keras.Variable]:
        """Alpha of bi-level training: the variables of all gates, including temperatures and choice embeddings."""
        return [v for layer in all_layers(self) if isinstance(layer, Gate) for v in layer.trainable_variables]

    @property
    def embedding_variables(self) -> list[keras.Variable]:
        """The embedding tables: the part of W that the embedding optimiser updates."""
        return [v for layer in all_layers(self) if isinstance(layer, FusedEmbedding) for v in layer.trainable_variables]

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """The rest of W: all trainable variables outside gates and embedding tables."""
        apart = {id(v) for v in self.gate_variables + self.embedding_variables}
        return [v for v in self.trainable_variables if id(v) not in apart]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, name and precision, and if there are any its calibration and plugins."""
        fitted = {} if self.calibration is None else {"calibration": self.calibration.config()}
        plugins = {"plugins": found} if (found := plugins_of(all_layers(self))) else {}
        return self.recorded_arguments() | {"name": self.name, "dtype": self.dtype_policy.name} | fitted | plugins

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "CTRModel":
        """Makes a model from the result of `get_config`, in the precision "dtype", by default float32."""
        allow_plugins(config.get("plugins", ()), config.get("name", cls.__name__))
        arguments = {name: value for name, value in config.items() if name not in _NO_ARGUMENTS}
        with layers_of(config.get("dtype", "float32")):
            model = cls.from_recorded(arguments)
        if "calibration" in config:
            model.calibration = Calibration.from_config(config["calibration"])
        return model
