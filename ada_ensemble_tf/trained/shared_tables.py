"""Checkpoints of what replicas share, tables and weights: stored is the whole, as one device would store it.

Each process writes its replicas' pieces as slices of the whole (TensorFlow's `SaveV2`), and the chief joins the files
(`MergeV2Checkpoints`). A save of n devices is read by m, or by one that has everything.
"""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import keras
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from ada_ensemble_tf.devices.dense_shards import Block, DenseShards, dense_shards_of
from ada_ensemble_tf.devices.placement import Piece
from ada_ensemble_tf.devices.sharded_table import ShardedTable, shards_of

Variable: TypeAlias = keras.Variable | tf.Variable
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_KEY = "VARIABLE_VALUE"
_IN_CHUNKS_KEY = "_TABLES_IN_CHUNKS"
"""Is in saves of several devices. A save of one device has whole tables, of which reading a slice reads all."""
CHUNK_BYTES, MOST_CHUNKS = 1 << 23, 32
"""Tables are copied and written so many bytes at a time, and in more only if a piece would have too many chunks."""


class Stored(NamedTuple):
    """A piece of a variable: where it is in a replica's part, and in the whole variable."""

    part: tf.Variable
    rows: slice
    """Its rows in the part."""
    whole: str
    """The shape of the whole variable and the slice of it, as TensorFlow writes them."""
    shape: tuple[int, ...]
    """The slice's shape."""
    column: int
    """The first of the table's columns that it belongs to."""
    repeats: int
    """How often each of its numbers is in the part: a number for a whole row is there for each unit of the row."""


def is_shared(variable: Variable) -> bool:
    """Whether replicas have parts of a variable."""
    return shards_of(variable) is not None or dense_shards_of(variable) is not None


def logical_shape(variable: Variable) -> tuple[int, ...]:
    """The shape of a variable; for a part of a shared table or weight, that of the whole."""
    if (dense := dense_shards_of(variable)) is not None:
        return dense.logical_shape
    shards = shards_of(variable)
    return tuple(variable.shape) if shards is None else shards.logical_shape[: len(variable.shape)]


def save_parts(folder: Path, worker: int, variables: Mapping[str, Variable]) -> None:
    """Writes what this process's replicas have of shared variables, and on the chief everything else.

    Args:
        folder: for the files of all processes.
        worker: this process's number; 0 is the chief.
        variables: all variables by name, the same in every process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shared = {name: v for name, v in variables.items() if is_shared(v)}
    for name, variable in shared.items():
        # A file for each piece, so that no more than a piece is copied at a time.
        for local, pieces in enumerate(_pieces_to_save(variable)):
            own = (one for one in pieces if one.column == 0 or len(one.shape) > 1)
            for i, one in enumerate(own):
                path = folder / f"{worker:05d}-{name[:4]}-{local:05d}-{i:06d}"
                _save(path, [_key(name)], [one.whole], [tf.reshape(_rows_of(variable, one), one.shape)])
    if worker == 0:
        others = {_key(name): tf.convert_to_tensor(_value(v)) for name, v in variables.items() if name not in shared}
        graph = {GRAPH_KEY: tf.constant(_object_graph(variables).SerializeToString()), _IN_CHUNKS_KEY: tf.constant(1)}
        names = [*others, *graph]
        _save(folder / "00000", names, [""] * len(names), [*others.values(), *graph.values()])


def join_parts(folder: Path, path: Path) -> None:
    """Joins the files that all processes have written to one save at `path` and removes them."""
    prefixes = sorted(str(file.with_suffix("")) for file in folder.glob("*.index"))
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(path), delete_old_dirs=True)


def restore_parts(path: Path, variables: Mapping[str, Variable]) -> None:
    """Sets this process's parts of shared variables, and all other variables, to a save at `path`.

    Raises:
        ValueError: if the save has other variables.
    """
    shapes = tf.train.load_checkpoint(str(path)).get_variable_to_shape_map()
    found = {key for key in shapes if key.endswith(VALUE_KEY)}
    for name, variable in variables.items():
        if tuple(shapes.get(_key(name), ("none",))) != logical_shape(variable):
            raise ValueError(f"it has no variable {name[5:].removesuffix(':0')} of shape {logical_shape(variable)}")
    if extra := sorted(found - {_key(name) for name in variables}):
        raise ValueError(f"it also has a variable {extra[0].partition('/')[0].replace('..', '.')[5:]}")
    for name, variable in variables.items():
        if not is_shared(variable):
            (value,) = _restore(path, _key(name), "", variable.dtype)
            variable.assign(value)
            continue
        for piece in itertools.chain(*_pieces(variable, chunked=_IN_CHUNKS_KEY in shapes)):
            (value,) = _restore(path, _key(name), piece.whole, piece.part.dtype)
            width = piece.part.shape[1:].as_list()
            own = tf.reshape(value, [-1, *width]) if width else tf.repeat(value, piece.repeats)
            if shards_of(variable) is None:
                piece.part[piece.rows].assign(own)
            else:
                piece.part.scatter_update(tf.IndexedSlices(own, tf.range(piece.rows.start, piece.rows.stop)))


def _rows_of(variable: Variable, piece: Stored) -> tf.Tensor:
    if shards_of(variable) is None:
        return piece.part[piece.rows][:: piece.repeats]
    # Gathered, because reading a variable that is updated by rows copies all of it.
    return tf.gather(piece.part, tf.range(piece.rows.start, piece.rows.stop, piece.repeats))


def _pieces_to_save(variable: Variable) -> list[list[Stored]]:
    """The pieces on each replica of this process, but for those that another host saves."""
    pieces, dense = _pieces(variable), dense_shards_of(variable)
    return [own if dense is None or dense.is_owner(local) else [] for local, own in enumerate(pieces)]


def _pieces(variable: Variable, chunked: bool = True) -> list[list[Stored]]:
    """The pieces of a shared variable, or of state beside it, on each replica; those of tables by default in chunks."""
    if (dense := dense_shards_of(variable)) is not None:
        parts = dense.parts(variable)
        return [[_block(dense, part, local, one) for one in dense.blocks(local)] for local, part in enumerate(parts)]
    shards = shards_of(variable)
    assert shards is not None, "only shared variables have pieces"
    found = []
    for local, part in enumerate(shards.parts(variable)):
        own: list[Stored] = []
        for piece in shards.layout.placement.of_device(shards.mesh.first + local):
            levels = shards.layout.sizes[piece.field]
            size = max(CHUNK_BYTES // (piece.width * part.dtype.size), -(-levels // MOST_CHUNKS)) if chunked else levels
            own += [_stored(shards, part, piece, at, min(size, levels - at)) for at in range(0, levels, size)]
        found.append(own)
    return found


def _block(shards: DenseShards, part: tf.Variable, local: int, block: Block) -> Stored:
    start = block.start - shards.rank(local) * shards.size
    count = math.prod(block.size)
    place = ":".join(f"{first},{number}" for first, number in zip(block.begin, block.size, strict=True))
    whole = " ".join(map(str, shards.logical_shape))
    return Stored(part, slice(start, start + count), f"{whole} {place}", block.size, 0, 1)


def _stored(shards: ShardedTable, part: tf.Variable, piece: Piece, level: int, count: int) -> Stored:
    """`count` levels of a piece, from `level`."""
    layout = shards.layout
    first, factor = layout.offsets[piece.field] + level, piece.width // layout.unit
    start, (whole_rows, dimension) = layout.rows_of(piece).start + factor * level, shards.logical_shape
    rows = slice(start, start + factor * count)
    if part.shape.rank == 1:
        return Stored(part, rows, f"{whole_rows} {first},{count}", (count,), piece.first, factor)
    place = f"{whole_rows} {dimension} {first},{count}:{piece.first},{piece.width}"
    return Stored(part, rows, place, (count, piece.width), piece.first, 1)


def _value(variable: Variable) -> tf.Variable:
    return variable.value if isinstance(variable, keras.Variable) else variable


def _key(name: str) -> str:
    """The name of a variable's value in a save of `tf.train.Checkpoint(name=variable)`."""
    # TensorFlow doubles the points of names.
    return f"{name.replace('.', '..')}/.ATTRIBUTES/{VALUE_KEY}"


def _object_graph(variables: Mapping[str, Variable]) -> trackable_object_graph_pb2.TrackableObjectGraph:
    """What `tf.train.Checkpoint` stores beside the values, so that it can read them."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    root = graph.nodes.add()
    for i, (name, variable) in enumerate(variables.items()):
        root.children.add(node_id=i + 1, local_name=name)
        node = graph.nodes.add()
        node.attributes.add(name=VALUE_KEY, full_name=_value(variable).name, checkpoint_key=_key(name))
    return graph


def _save(path: Path, names: list[str], slices: list[str], values: list[tf.Tensor]) -> None:
    tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=slices, tensors=values)


def _restore(path: Path, name: str, place: str, dtype: tf.DType) -> list[tf.Tensor]:
    with tf.device("/device:CPU:0"):
        return tf.raw_ops.RestoreV2(
            prefix=str(path), tensor_names=[name], shape_and_slices=[place], dtypes=[tf.as_dtype(dtype)]
        )
