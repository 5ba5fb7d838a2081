"""Weights that the replicas of a host or of the world share: each has an equal part of the flat array."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from ada_ensemble_tf.devices.innermost import Innermost
from ada_ensemble_tf.devices.mesh import Group, Mesh
from ada_ensemble_tf.keras_private import replace_value

DenseKind = Literal["fsdp", "hsdp"]
_current = Innermost["CutsWeights"]()
_as_it_is = tf.autograph.experimental.do_not_convert


class Block(NamedTuple):
    """A rectangle of a weight whose numbers stand next to each other in its flat array."""

    begin: tuple[int, ...]
    """Its first element."""
    size: tuple[int, ...]
    start: int
    """The place of its first element in the flat array."""


class DenseShards:
    """A weight of which each replica of a group has a part.

    The flat array of the weight is filled up with zeros and cut into equal parts, in the order of the replicas. The
    variable is flat, `[s]`, and has other numbers on each replica (`synchronization="on_read"`); the `keras.Variable`
    keeps the shape of the whole.

    Args:
        mesh: of the replicas.
        group: "world" or "host".
        shape: that of the whole weight.
    """

    def __init__(self, mesh: Mesh, group: Group, shape: Sequence[int]):
        self.mesh, self.group, self.logical_shape = mesh, group, tuple(shape)
        self.elements = math.prod(self.logical_shape)
        self.size = -(-self.elements // mesh.size(group))

    def parts(self, variable: keras.Variable) -> Sequence[tf.Variable]:
        """The parts on this process's replicas, in their order."""
        assert self.mesh.strategy is not None, "a weight is shared by several replicas"
        return self.mesh.strategy.experimental_local_results(variable.value)

    @_as_it_is
    def part(self, variable: keras.Variable) -> tf.Variable:
        """The part on the replica that is being traced."""
        return self.parts(variable)[self.mesh.local_replica()]

    def rank(self, local: int) -> int:
        """Which part a replica of this process has."""
        return (self.mesh.first + local) % self.mesh.size(self.group)

    def is_owner(self, local: int) -> bool:
        """Whether a replica of this process is the one that saves its part, which other hosts may have too."""
        return self.mesh.first + local < self.mesh.size(self.group)

    def assign(self, variable: keras.Variable, whole: np.ndarray) -> None:
        """Sets the parts of this process's replicas to those of a whole weight."""
        padded = np.zeros(self.size * self.mesh.size(self.group), whole.dtype)
        padded[: self.elements] = np.reshape(whole, [-1])
        for local, part in enumerate(self.parts(variable)):
            part.assign(padded[self.rank(local) * self.size :][: self.size])

    def blocks(self, local: int) -> list[Block]:
        """The rectangles of the whole weight that a replica's part consists of."""
        first = self.rank(local) * self.size
        return list(_blocks(self.logical_shape, first, min(first + self.size, self.elements)))


class DenseSharding:
    """Cuts the weights of layers among the replicas of a mesh.

    Args:
        mesh: of several replicas.
        kind: "fsdp", among all of them, or "hsdp", among those of each host.

    Attributes:
        group: that has a whole weight.
    """

    def __init__(self, mesh: Mesh, kind: DenseKind):
        self.mesh = mesh
        self.group: Group = "world" if kind == "fsdp" else "host"

    def shards(self, shape: Sequence[int]) -> DenseShards | None:
        """A weight of a shape as the replicas share it; None for one that has fewer numbers than they are."""
        return None if math.prod(shape) < self.mesh.size(self.group) else DenseShards(self.mesh, self.group, shape)

    def cut(self, layer: str, weights: Sequence[keras.Variable]) -> None:
        """Replaces the weights of a layer that was just built by the replicas' parts of them.

        Args:
            layer: its name.
            weights: of rank 1 or more.
        """
        del layer
        for weight in weights:
            if (shards := self.shards(weight.shape)) is None:
                continue
            whole = np.array(tf.convert_to_tensor(weight.value))
            parts = tf.Variable(
                tf.zeros([shards.size], weight.dtype),
                trainable=weight.trainable,
                name=weight.name,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.NONE,
            )
            replace_value(weight, parts)
            weight.dense_shards = shards
            shards.assign(weight, whole)


class CutsWeights(Protocol):
    """What is done with the weights of a layer that can be sharded, once it is built."""

    def cut(self, layer: str, weights: Sequence[keras.Variable]) -> None:
        """See `DenseSharding.cut`."""


def sharded_layers(sharding: CutsWeights | None) -> AbstractContextManager[None]:
    """Within the block, layers that can be sharded are, when they are built; None changes nothing."""
    return _current.set(sharding)


def dense_sharding() -> CutsWeights | None:
    """That of the innermost `sharded_layers`."""
    return _current.value


def dense_shards_of(variable: Any) -> DenseShards | None:
    """How the replicas share a weight, or an optimiser's state beside it; None if each has the whole."""
    return getattr(variable, "dense_shards", None)


@_as_it_is
def whole_weights(parts: Sequence[tf.Tensor], shards: Sequence[DenseShards]) -> list[tf.Tensor]:
    """The whole weights from the parts of the replica being traced, in one exchange; all replicas call it together.

    The gradients of the whole weights are summed over the group, and each replica gets its part of the sum.
    """
    if not parts:
        return []
    mesh, group = shards[0].mesh, shards[0].group
    gathered = mesh.all_gather(tf.concat(list(parts), axis=0), group)
    of_each = tf.split(tf.reshape(gathered, [mesh.size(group), -1]), [one.size for one in shards], axis=1)
    return [
        tf.reshape(tf.reshape(flat, [-1])[: one.elements], one.logical_shape)
        for flat, one in zip(of_each, shards, strict=True)
    ]


def _blocks(shape: tuple[int, ...], first: int, end: int) -> Iterator[Block]:
    """The rectangles of elements first to end of an array's flat order."""
    if first >= end:
        return
    if len(shape) == 1:
        yield Block((first,), (end - first,), first)
        return
    inner = math.prod(shape[1:])

    def within(row: int, begin: int, stop: int) -> Iterator[Block]:
        for block in _blocks(shape[1:], begin - row * inner, stop - row * inner):
            yield Block((row, *block.begin), (1, *block.size), block.start + row * inner)

    row = first // inner
    if first % inner:
        stop = min(end, (row + 1) * inner)
        yield from within(row, first, stop)
        row, first = row + 1, stop
    if (rows := (end - first) // inner) > 0:
        yield Block((row,) + (0,) * (len(shape) - 1), (rows, *shape[1:]), first)
        row, first = row + rows, first + rows * inner
    if first < end:
        yield from within(row, first, end)
