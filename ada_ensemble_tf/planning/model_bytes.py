"""Bytes of a model's parts, counted without making any of its variables."""

import math
import types
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from ada_ensemble_tf.devices.dense_shards import sharded_layers
from ada_ensemble_tf.devices.placement import FieldTable
from ada_ensemble_tf.keras_private import all_layers, forget_unmade_variables
from ada_ensemble_tf.layers.embedding import FusedEmbedding
from ada_ensemble_tf.layers.recomputing import recomputing_all
from ada_ensemble_tf.models import CTRModel
from ada_ensemble_tf.optimizers import GroupFtrl
from ada_ensemble_tf.training.setup import build_model, make_optimizers
from data_pipelines.fields.schema import Schema
from data_pipelines.read.dataset import PreparedData

_PROBE = (2, 3)
_SAME_BUFFER = ("Reshape", "Identity", "IdentityN", "ExpandDims", "Squeeze", "StopGradient")
_NO_ACTIVATIONS = ("Placeholder", "Const")


class TableBytes(NamedTuple):
    """An embedding table of V rows and D columns."""

    name: str
    dimension: int
    number: int
    """Bytes of a number of the table."""
    held: int
    slots: int
    """Bytes of the optimiser's state."""
    slots_a_row: int = 0
    """Of this, bytes that each row has once, however many columns there are."""
    row_norms: bool = False
    """Whether the optimiser needs the norms of whole rows."""
    sent: int = 4
    """Bytes of a number of embeddings and their gradients as devices that share the table send them."""


class WeightBytes(NamedTuple):
    """A weight that dense sharding cuts."""

    elements: int
    number: int
    """Bytes of a number."""
    slots: int
    """Bytes of the optimiser's state."""

    @property
    def held(self) -> int:
        """Bytes of the whole."""
        return self.elements * self.number


class ModelBytes(NamedTuple):
    """Bytes of a model on one device that holds all of it."""

    fields: tuple[FieldTable, ...]
    """The fields' parts of each table."""
    tables: tuple[TableBytes, ...]
    weights: int
    """All variables but the tables."""
    gradients: int
    """Of the trained ones among these."""
    slots: int
    """State of their optimisers."""
    layers: tuple[tuple[WeightBytes, ...], ...]
    """What dense sharding cuts, by the layer that is gathered; all of these are among the weights."""
    activations: int
    """Tensors that the backward pass needs from the forward pass, and with activation checkpointing those of the layer
    that takes the most. Rows that routing takes out count as if they stayed."""
    recomputed: int
    """The same where the layers are sharded, and therefore computed again in the backward pass."""
    on_host: int = 0
    """State beside tables that the machine's memory holds instead of the device's."""


def model_bytes(config: ConfigDict, data: PreparedData, rows: int) -> ModelBytes:
    """Counts what a training of `config` on `data` takes for batches of `rows` rows.

    The graph of a weight update is traced for tensors of the variables' shapes, so a model may be larger than memory.

    Raises:
        UserError: if a config value does not fit.
    """
    optimizers = make_optimizers(config)
    cut = _Cut()
    with _no_values(), sharded_layers(cut):
        model = build_model(config, data)
    tables = [layer for layer in all_layers(model) if isinstance(layer, FusedEmbedding)]
    apart = {id(layer.table) for layer in tables}
    dense = _without(model, apart)
    weights = {id(v) for v in model.weight_variables}
    layers = [[v for v in own if id(v) in weights] for _, own in cut.layers]
    activations, recomputed = _activations(model, rows, {name for name, _ in cut.layers})
    of_tables = optimizers["embedding_optimizer"]
    sent = tf.as_dtype(config.sharding.collectives).size
    on_host = getattr(of_tables, "slots_on", "device") == "host"
    own_tables = [_table_bytes(layer, of_tables, sent) for layer in tables]
    groups = {"weight_optimizer": model.weight_variables, "gate_optimizer": model.gate_variables}
    return ModelBytes(
        fields=field_tables(data.schema),
        tables=tuple(one._replace(slots=0, slots_a_row=0) if on_host else one for one in own_tables),
        weights=_bytes(dense),
        gradients=_bytes([v for v in dense if v.trainable]),
        slots=sum(slot_bytes(optimizers[name], variables) for name, variables in groups.items()),
        layers=tuple(tuple(_weight(v, optimizers["weight_optimizer"]) for v in own) for own in layers),
        activations=activations,
        recomputed=recomputed,
        on_host=sum(one.slots for one in own_tables) if on_host else 0,
    )


def field_tables(schema: Schema) -> tuple[FieldTable, ...]:
    """The parts of a table that fields have for themselves or together, in the order of their rows."""
    rows: dict[int, int] = {}
    columns: dict[int, int] = defaultdict(int)
    for field in schema.fields:
        rows[field.offset] = field.size
        columns[field.offset] += field.width
    return tuple(FieldTable(rows[offset], columns[offset]) for offset in sorted(rows))


def slot_bytes(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> int:
    """Bytes of the state that an optimiser would keep for variables, found by variables of six numbers."""
    total, slots = 0, {}
    for variable in variables:
        if variable.dtype not in slots:
            probe = type(optimizer).from_config(optimizer.get_config())
            before = {id(v) for v in probe.variables}
            probe.build([keras.Variable(tf.ones(_PROBE), dtype=variable.dtype, name="probe")])
            slots[variable.dtype] = [v for v in probe.variables if id(v) not in before]
        shape = tuple(variable.shape)
        # A slot is as large as the variable, one number a row, or one number.
        sizes = {_PROBE: math.prod(shape), _PROBE[:1]: shape[0] if shape else 1}
        of_each = (sizes.get(tuple(slot.shape), 1) * tf.as_dtype(slot.dtype).size for slot in slots[variable.dtype])
        total += sum(of_each)
    return total


@contextmanager
def _no_values() -> Iterator[None]:
    """Within the block, Keras' variables have shapes and no values."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        forget_unmade_variables()


class _Cut:
    """The weights of layers that can be sharded, with the layer's name."""

    def __init__(self) -> None:
        self.layers: list[tuple[str, Sequence[keras.Variable]]] = []

    def cut(self, layer: str, weights: Sequence[keras.Variable]) -> None:
        self.layers.append((layer, weights))


def _weight(variable: keras.Variable, optimizer: keras.optimizers.Optimizer) -> WeightBytes:
    number = tf.as_dtype(variable.dtype).size
    return WeightBytes(math.prod(variable.shape), number, slot_bytes(optimizer, [variable]))


def _table_bytes(layer: FusedEmbedding, optimizer: keras.optimizers.Optimizer, sent: int) -> TableBytes:
    number = tf.as_dtype(layer.table.dtype).size
    slots = slot_bytes(optimizer, [layer.table])
    # What rows have once does not grow with the columns.
    rows, columns = layer.table.shape
    wider: Any = types.SimpleNamespace(shape=(rows, 2 * columns), dtype=layer.table.dtype)
    a_row = (2 * slots - slot_bytes(optimizer, [wider])) // rows
    norms = isinstance(optimizer, GroupFtrl) and optimizer.l1 > 0.0
    return TableBytes(layer.name, layer.dimension, number, _bytes([layer.table]), slots, a_row, norms, sent)


def _without(layer: keras.layers.Layer, apart: set[int]) -> list[keras.Variable]:
    return [v for v in layer.variables if id(v) not in apart]


def _bytes(variables: Sequence[keras.Variable]) -> int:
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


def _activations(model: CTRModel, rows: int, layers: Collection[str]) -> tuple[int, int]:
    """`ModelBytes.activations` and `recomputed`, for the layers of these names."""
    checkpointing = getattr(model, "activation_checkpointing", False)
    if checkpointing:
        model.activation_checkpointing = False
    by_layer = kept_bytes(model, rows)
    held = sum(by_layer.values())
    if checkpointing:
        model.activation_checkpointing = True
        # The backward pass has the tensors of one layer at a time besides.
        largest = max((size for layer, size in by_layer.items() if layer.startswith("layer_")), default=0)
        held = sum(kept_bytes(model, rows).values()) + largest
    with recomputing_all():
        recomputed = sum(kept_bytes(model, rows).values())
    return held, recomputed + max((size for layer, size in by_layer.items() if layer in layers), default=0)


def kept_bytes(model: CTRModel, rows: int) -> dict[str, int]:
    """Bytes of tensors of the forward pass that the backward pass of a weight update reads, by layer."""
    variables, kept = model.variables, {}

    def update(values: Sequence[tf.Tensor], inputs: tf.Tensor | dict[str, tf.Tensor], labels: tf.Tensor) -> None:
        graph = tf.compat.v1.get_default_graph()
        with keras.StatelessScope(list(zip(variables, values, strict=True)), initialize_variables=False):
            trained = [value for value, v in zip(values, variables, strict=True) if v.trainable]
            with tf.GradientTape() as tape:
                tape.watch(trained)
                _, terms = model.loss_terms(inputs, labels, "weights")
                loss = tf.add_n(list(terms.values()))
            forward = set(graph.get_operations())
            tape.gradient(loss, trained)
        for operation in graph.get_operations():
            for tensor in operation.inputs if operation not in forward else ():
                source = _source(tensor)
                if source.op in forward and source.op.type not in _NO_ACTIVATIONS:
                    kept[source.ref()] = source

    of_rows = [tf.TensorSpec([rows, *spec.shape[1:]], spec.dtype) for spec in tf.nest.flatten(model.input_signature)]
    inputs = tf.nest.pack_sequence_as(model.input_signature, of_rows)
    specs = [tf.TensorSpec(v.shape, v.dtype) for v in variables]
    tf.function(update, autograph=False).get_concrete_function(specs, inputs, tf.TensorSpec([rows]))
    sizes: dict[str, int] = defaultdict(int)
    for tensor in kept.values():
        sizes[tensor.op.name.split("/")[0]] += _size(tensor, rows)
    return sizes


def _source(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor whose buffer this one shares."""
    while tensor.op.type in _SAME_BUFFER:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _size(tensor: tf.Tensor, rows: int) -> int:
    """Bytes of a tensor; a dimension that only the values decide has as many elements as the batch has rows."""
    dimensions = tensor.shape.as_list() if tensor.shape.rank is not None else [rows]
    return math.prod(rows if d is None else d for d in dimensions) * tensor.dtype.size
