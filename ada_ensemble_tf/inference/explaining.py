"""What decided a row's score: its exit, its experts, and what each field contributes."""

import numpy as np
import polars as pl
import pyarrow as pa
import tensorflow as tf

from ada_ensemble_tf.models import CTRModel
from data_pipelines.fields.columns import coded
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.read.inputs import Inputs, ids_of, make_inputs, values_of


class Explainer:
    """Explains rows of a model.

    Columns of the explanation:

    - `exit_depth`: the layer after which the row exits, from 1, if the model has a depth gate.
    - `experts_LAYER`: the experts that the row is sent to and their gates, such as "cross 0.71, dense 0.29"; "" beyond
      its exit. If the model gives its gates row by row.
    - `blank_FIELD`: how the logit changes if the field's value is missing and everything else stays. It takes a forward
      pass for each field.

    Args:
        model: the model.
        vocabularies: of its fields.
    """

    def __init__(self, model: CTRModel, vocabularies: Vocabularies):
        self._model, self._schema = model, vocabularies.schema
        blank = coded({name: [""] for name in self._schema.columns})
        self._blank = encoded(vocabularies, blank)
        self._logit = tf.function(self._served, input_signature=[model.input_signature], autograph=False)
        self._gates = (
            tf.function(model.gates, input_signature=[model.input_signature], autograph=False)
            if hasattr(model, "gates")
            else None
        )
        self._starts = np.cumsum([0, *self._schema.widths])

    @property
    def columns(self) -> list[str]:
        """The names of the explanation's columns."""
        return list(self(tf.nest.map_structure(lambda one: one[:0], self._blank)).columns)

    def __call__(self, inputs: Inputs) -> pl.DataFrame:
        """The explanation of rows `[B]`, given as NumPy arrays."""
        inputs = tf.nest.map_structure(
            lambda spec, x: x.astype(spec.dtype.as_numpy_dtype), self._model.input_signature, inputs
        )
        logit = self._logit(inputs).numpy()
        changes = {
            f"blank_{field.name}": self._logit(self._without(inputs, position)).numpy() - logit
            for position, field in enumerate(self._schema.fields)
        }
        return pl.DataFrame(self._choices(inputs) | changes)

    def _served(self, inputs: Inputs) -> tf.Tensor:
        return self._model.served_logit(self._model.forward(inputs, training=False))

    def _without(self, inputs: Inputs, position: int) -> Inputs:
        """The rows with one field missing."""
        ids, values, blank = ids_of(inputs).copy(), values_of(inputs), values_of(self._blank)
        own = slice(self._starts[position], self._starts[position + 1])
        ids[:, own] = ids_of(self._blank)[:, own]
        if values is not None and blank is not None and position in self._schema.value_fields:
            place = list(self._schema.value_fields).index(position)
            values = values.copy()
            values[:, place] = blank[:, place]
        return make_inputs(ids, values)

    def _choices(self, inputs: Inputs) -> dict[str, np.ndarray | list[str]]:
        if self._gates is None:
            return {}
        gates, names = {place: gate.numpy() for place, gate in self._gates(inputs).items()}, self._model.choice_names()
        found: dict[str, np.ndarray | list[str]] = {}
        depth = None
        if (exits := gates.pop("depth", None)) is not None:
            found["exit_depth"] = depth = np.argmax(exits, axis=1).astype(np.int32) + 1
        for number, (place, gate) in enumerate(gates.items()):
            reached = np.ones(len(gate), bool) if depth is None else depth > number
            found[f"experts_{place}"] = [
                _written(row, names[place]) if here else "" for row, here in zip(gate, reached, strict=True)
            ]
        return found


def encoded(vocabularies: Vocabularies, columns: pa.RecordBatch) -> Inputs:
    """Encodes raw columns (`RawChunk.columns`) as the model's inputs, in NumPy arrays."""
    ids = vocabularies.encode(columns)
    return make_inputs(ids, vocabularies.values(columns) if vocabularies.schema.value_fields else None)


def _written(gates: np.ndarray, names: list[str]) -> str:
    """The choices above 0, the largest first."""
    chosen = [(gates[i], names[i]) for i in np.argsort(-gates, kind="stable") if gates[i] > 0.0]
    return ", ".join(f"{name} {gate:.2f}" for gate, name in chosen)
