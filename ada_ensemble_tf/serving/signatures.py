"""The exported model: raw columns in, click probability out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from ada_ensemble_tf.inference.encoder import RawEncoder
from ada_ensemble_tf.inference.request_checks import checked_inputs
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.serving.examples import parse_examples
from ada_ensemble_tf.serving.tables import Storage, StoredTables
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.served_names import argument_names
from data_pipelines.read.inputs import Inputs, make_inputs, named

_PLAIN = Storage()
_METHODS = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}


class ServedModel(tf.Module):
    """The content of a SavedModel: encoder, model weights and signatures, with named inputs and outputs.

    * `serving_default`: one string tensor `[B]` per raw column, named like the log's column, with the log's own text
        (empty if missing) -> `ctr`, float32 `[B]`. If TensorFlow does not accept a column's name, the input has
        another, see `argument_names`.
    * `examples`: `examples`, serialized tf.Examples `[B]` (see `serving.examples`) -> `ctr`.
    * `ids`: `ids`, int32 `[B, C]`, and, if the schema has value fields, `values`, float32 `[B, N]` -> `ctr`.
    * `explain`, for models whose gates can be read: raw columns -> `ctr`, `exit_depth`, int32 `[B]` from 1, if rows
        exit early, and `gates_layer_1` .. `gates_layer_L`, float32 `[B, E]`, zeros in layers that a row does not reach.
    * `classify`: `inputs`, serialized tf.Examples -> `classes`, "0" and "1", and `scores`, each `[B, 2]`.
    * `regress`: `inputs`, the same -> `outputs`, the click probability `[B]`.

    The last two serve TF Serving's Classify and Regress requests; `set_methods` marks them as such in the SavedModel.

    Args:
        model: the trained model. Its annealing is finished first, so that K and depth have their final values.
        schema: the fields.
        data_dir: the directory with the vocabulary files.
        storage: how embedding tables are stored; the model's own tables are set to the values that the stored ones
            return.
        example_numbers: how tf.Examples hold numbers, "text" or "native", see `serving.examples`.
    """

    def __init__(
        self,
        model: CTRModel,
        schema: Schema,
        data_dir: str | Path,
        storage: Storage = _PLAIN,
        example_numbers: str = "text",
    ):
        super().__init__()
        model.finish_annealing()
        self.encoder = RawEncoder(schema, data_dir)
        self.tables = StoredTables(model, storage)
        # Only the variables: the Keras object would bring graphs of its own.
        self.weights = self.tables.others(model)
        self._signatures = _Signatures(model, schema, self.encoder, self.tables, example_numbers)

    @property
    def arguments(self) -> dict[str, str]:
        """The signatures' name for each raw column."""
        return self._signatures.arguments

    @property
    def functions(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions of all signatures, by name."""
        return self._signatures.functions

    @property
    def inputs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """The inputs of each signature by name."""
        return self._signatures.inputs

    @property
    def signature(self) -> tf.types.experimental.ConcreteFunction:
        """The concrete function of `serving_default`."""
        return self.functions["serving_default"]


class _Signatures:
    """The functions behind the signatures; a plain object, because a tf.Module would save them a second time.

    Code that signatures share is in functions of its own, traced and stored once.
    """

    def __init__(
        self, model: CTRModel, schema: Schema, encoder: RawEncoder, tables: StoredTables, example_numbers: str
    ):
        self._model, self._schema, self._encoder, self._tables = model, schema, encoder, tables
        self._example_numbers = example_numbers
        self.arguments = argument_names(schema.columns)
        specs, strings = model.input_signature, tf.TensorSpec([None], tf.string)
        self._score = tf.function(self._score_inputs, input_signature=[specs], autograph=False)
        self._encode = tf.function(
            self._encode_texts, input_signature=[[strings] * len(self.arguments)], autograph=False
        )
        self._score_examples = tf.function(self._score_serialized, input_signature=[strings], autograph=False)
        columns = {name: tf.TensorSpec([None], tf.string, name=name) for name in self.arguments.values()}
        functions: dict[str, tuple[Callable[..., Any], dict[str, tf.TensorSpec]]] = {
            "serving_default": (self._serve, columns),
            "examples": (self._serve_examples, {"examples": strings}),
            "ids": (self._serve_inputs, named(specs)),
            "classify": (self._classify, {"inputs": strings}),
            "regress": (self._regress, {"inputs": strings}),
        }
        if hasattr(model, "gates"):
            functions["explain"] = (self._explain, columns)
        self.functions = {name: _traced(*function) for name, function in functions.items()}
        self.inputs = {name: inputs for name, (_, inputs) in functions.items()}
        if "explain" in self.functions and len(self.functions["explain"].structured_outputs) == 1:
            del self.functions["explain"]

    def _score_inputs(self, inputs: Inputs) -> tf.Tensor:
        with self._tables.in_use():
            return tf.sigmoid(self._model.served_logit(self._model.forward(inputs, training=False)))

    def _encode_texts(self, texts: list[tf.Tensor]) -> Inputs:
        return self._encoder(dict(zip(self.arguments, texts, strict=True)))

    def _encode_named(self, text: dict[str, tf.Tensor]) -> Inputs:
        return self._encode([text[name] for name in self.arguments.values()])

    def _score_serialized(self, serialized: tf.Tensor) -> tf.Tensor:
        columns = parse_examples(serialized, self._schema, self._example_numbers)
        return self._score(self._encode([columns[column] for column in self.arguments]))

    def _serve(self, **text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"ctr": self._score(self._encode_named(text))}

    def _serve_inputs(self, ids: tf.Tensor, values: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        inputs = make_inputs(ids, values)
        return {"ctr": self._score(checked_inputs(inputs, self._schema))}

    def _serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"ctr": self._score_examples(examples)}

    def _classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        ctr = self._score_examples(inputs)
        classes = tf.broadcast_to(tf.constant([["0", "1"]]), [tf.size(ctr), 2])
        return {"classes": classes, "scores": tf.stack([1.0 - ctr, ctr], axis=1)}

    def _regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._score_examples(inputs)}

    def _explain(self, **text: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = self._encode_named(text)
        outputs = {"ctr": self._score(inputs)}
        with self._tables.in_use():
            gates = self._model.gates(inputs)
        exits = gates.pop("depth", None)
        if exits is not None:
            outputs["exit_depth"] = tf.argmax(exits, axis=1, output_type=tf.int32) + 1
        for number, name in enumerate(gates):
            reached = 1.0 if exits is None else tf.cast(outputs["exit_depth"] > number, tf.float32)[:, None]
            outputs[f"gates_{name}"] = gates[name] * reached
        return outputs


def set_methods(folder: str | Path) -> None:
    """Marks a SavedModel's `classify` and `regress` for TF Serving's requests of these names."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(folder))
    for name, method in _METHODS.items():
        updater.replace_method_name(name, method, tags="serve")
    updater.save()


def _traced(function: Callable[..., Any], specs: dict[str, tf.TensorSpec]) -> Any:
    named = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)
