"""Which tables are made on several devices: those that layers make within `sharded_tables`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ada_ensemble_tf.devices.innermost import Innermost
from ada_ensemble_tf.devices.mesh import Mesh
from ada_ensemble_tf.devices.placement import FieldTable, Placement, place
from ada_ensemble_tf.devices.sharded_table import ShardedTable
from ada_ensemble_tf.devices.table_layout import TableLayout

_current = Innermost["Sharding"]()


class Sharding:
    """Places the tables of a model on the replicas of a mesh.

    Args:
        mesh: of several replicas.
        sizes: the levels of each field of the data, in order.
        columns: the ids of each field.
        exchanged: the type in which embeddings and their gradients are sent, see `ShardedTable`.

    Attributes:
        placements: of the tables made so far, by name.
    """

    def __init__(self, mesh: Mesh, sizes: Sequence[int], columns: Sequence[int], exchanged: str = "float32"):
        self._mesh, self._exchanged = mesh, exchanged
        self._tables = [FieldTable(*table) for table in zip(sizes, columns, strict=True)]
        self.placements: dict[str, Placement] = {}

    def shard(self, name: str, num_rows: int, widths: Sequence[int], dimension: int) -> ShardedTable | None:
        """The table as the replicas share it; None if its rows are not those of the data's fields."""
        if num_rows != sum(table.rows for table in self._tables) or [t.columns for t in self._tables] != list(widths):
            return None
        placement = self.placements[name] = place(self._tables, dimension, self._mesh.replicas)
        offsets = [sum(table.rows for table in self._tables[:field]) for field in range(len(self._tables))]
        return ShardedTable(self._mesh, TableLayout(placement, offsets), self._exchanged)


def sharded_tables(sharding: Sharding | None) -> AbstractContextManager[None]:
    """Within the block, embedding layers make their tables as `sharding` places them; None changes nothing."""
    return _current.set(sharding)


def shard_of_table(name: str, num_rows: int, widths: Sequence[int], dimension: int) -> ShardedTable | None:
    """The table of an embedding layer as the replicas share it; None outside of `sharded_tables`."""
    current = _current.value
    return None if current is None else current.shard(name, num_rows, widths, dimension)
