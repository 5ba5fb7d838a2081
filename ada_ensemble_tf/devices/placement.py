"""Which device holds which columns of which field's table.

An embedding table of V rows and D columns is the fields' tables, one below another. A field's table is whole on one
device or cut into slices of columns of equal width, as in DHEN's training system (arXiv 2203.11014, section 3).
Nothing here needs TensorFlow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

TARGET = 1.15
"""The largest load of the fullest device over the mean load that `place` accepts before it cuts tables finer."""


class FieldTable(NamedTuple):
    """The table of one field."""

    rows: int
    """Its levels, the out-of-vocabulary row included."""
    columns: int = 1
    """Ids that the field has in a row of the data: the lookups of one row."""


class Piece(NamedTuple):
    """A field's table, or a slice of its columns, on one device."""

    field: int
    first: int
    """Its first column of the embedding, 0 to D - 1."""
    width: int
    """Its number of columns; D if the table is whole."""
    device: int


class Load(NamedTuple):
    """What a device does for its pieces, in numbers of the table's type."""

    lookups: float
    """Read for a row of the data: ids times width."""
    held: float
    """Held: rows times width. A slot of an optimiser holds as many again."""
    sent: float
    """Sent to the replica that a row of the data belongs to, for each row: an embedding's part for each field."""

    def plus(self, other: "Load") -> "Load":
        """The sum of two loads."""
        return Load(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Placement:
    """The pieces of an embedding table and their devices.

    Attributes:
        tables: of the F fields, in order.
        dimension: D, the columns of the table.
        devices: how many devices share it.
        pieces: in the order of fields, and of columns within a field.
    """

    tables: tuple[FieldTable, ...]
    dimension: int
    devices: int
    pieces: tuple[Piece, ...]

    @property
    def unit(self) -> int:
        """The largest width of which every piece's width is a multiple."""
        return math.gcd(*(piece.width for piece in self.pieces))

    @property
    def cut_fields(self) -> tuple[int, ...]:
        """The fields whose tables are cut, in order."""
        return tuple(sorted({piece.field for piece in self.pieces if piece.width < self.dimension}))

    def of_device(self, device: int) -> tuple[Piece, ...]:
        """The pieces of one device."""
        return tuple(piece for piece in self.pieces if piece.device == device)

    def loads(self) -> list[Load]:
        """The load of each device."""
        loads = [Load(0.0, 0.0, 0.0)] * self.devices
        for piece in self.pieces:
            loads[piece.device] = loads[piece.device].plus(_load(self.tables[piece.field], piece.width))
        return loads

    def fullest_over_mean(self) -> Load:
        """The largest load over the mean load, for each of the three kinds.

        All devices have arrays of the same shapes, so each holds and sends as much as the fullest: this ratio counts
        the padding.
        """
        kinds = zip(*self.loads(), strict=True)
        return Load(*(max(kind) * self.devices / sum(kind) for kind in kinds))

    def cost_over_mean(self) -> float:
        """The largest cost of a device over the mean cost; the cost weighs the three kinds of load alike."""
        whole = _whole(self.tables, self.dimension)
        costs = [_cost(load, whole) for load in self.loads()]
        return max(costs) * self.devices / sum(costs)

    def describe(self, names: Sequence[str] = (), bytes_of_a_number: int = 4) -> list[str]:
        """One line for each device and one for the balance, to be printed.

        Args:
            names: of the fields; their positions by default.
            bytes_of_a_number: what one number of the table takes.
        """
        lines = []
        for device, load in enumerate(self.loads()):
            parts = [self._named(piece, names) for piece in self.of_device(device)]
            held = load.held * bytes_of_a_number / 2**20
            lines.append(f"device {device}: {held:,.1f} MiB of tables: {', '.join(parts) or 'none'}")
        worst = self.fullest_over_mean()
        lines.append(
            f"fullest device over the mean: lookups {worst.lookups:.2f}, bytes held {worst.held:.2f}, bytes sent "
            f"{worst.sent:.2f}; {len(self.cut_fields)} of {len(self.tables)} fields cut"
        )
        return lines

    def _named(self, piece: Piece, names: Sequence[str]) -> str:
        name = names[piece.field] if names else f"field {piece.field}"
        whole = piece.width == self.dimension
        return name if whole else f"{name}[{piece.first}:{piece.first + piece.width}]"

    def to_json(self) -> dict[str, Any]:
        """What JSON stores of it."""
        return {
            "dimension": self.dimension,
            "devices": self.devices,
            "tables": [list(table) for table in self.tables],
            "pieces": [list(piece) for piece in self.pieces],
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Placement":
        """The placement that `to_json` stored."""
        tables = tuple(FieldTable(*table) for table in stored["tables"])
        pieces = tuple(Piece(*piece) for piece in stored["pieces"])
        return cls(tables, stored["dimension"], stored["devices"], pieces)


def place(tables: Sequence[FieldTable], dimension: int, devices: int, target: float = TARGET) -> Placement:
    """Places the fields' tables on devices.

    The cost of a piece is the mean of its shares of all lookups times width, of all bytes held and of all bytes sent.
    Pieces go in the order of falling cost, each to the device of the least cost so far: the longest-processing-time
    rule (Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied Mathematics, 1969). A field
    whose table costs more than a part of a device's mean cost is cut into the fewest slices that cost less. That part
    is 1 at first. It is halved until no kind of load on the fullest device exceeds `target` times the mean, or until
    every field has at least as many slices as there are devices (as columns, if they are fewer).

    Args:
        tables: of the fields, in order.
        dimension: D. Slices have a width that divides it, at least 1.
        devices: how many.
        target: the accepted ratio, at least 1.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> placement = place([FieldTable(rows=1000), FieldTable(rows=10), FieldTable(rows=10)], dimension=4, devices=2)
        >>> [(piece.field, piece.width, piece.device) for piece in placement.pieces]
        [(0, 2, 0), (0, 2, 1), (1, 4, 0), (2, 4, 1)]
        >>> placement.fullest_over_mean().held
        1.0
    """
    if not tables or any(table.rows < 1 or table.columns < 1 for table in tables):
        raise ValueError(f"tables must be one or more, with at least one row and column each; received {list(tables)}")
    if dimension < 1 or devices < 1 or target < 1.0:
        raise ValueError(
            f"dimension and devices must be positive and target at least 1; received {dimension}, {devices} and "
            f"{target}"
        )
    divisors = [k for k in range(1, dimension + 1) if dimension % k == 0]
    finest = next((k for k in divisors if k >= devices), dimension)
    numbers, found, part = [k for k in divisors if k <= finest], [], 1.0
    while True:
        slices = _slices(tables, dimension, part / devices, numbers)
        found.append(_longest_first(tables, dimension, devices, slices))
        if max(found[-1].fullest_over_mean()) <= target or min(slices) == finest:
            break
        part /= 2.0
    # Of those that miss the target, the most even one; of equals, the one with the fewest pieces.
    return min(found, key=lambda one: (max(*one.fullest_over_mean(), target), len(one.pieces)))


def _slices(tables: Sequence[FieldTable], dimension: int, most: float, numbers: Sequence[int]) -> list[int]:
    """Into how many slices each field is cut so that none costs more than `most`: the least of `numbers`, if any."""
    whole = _whole(tables, dimension)
    costs = [_cost(_load(table, dimension), whole) for table in tables]
    return [next((k for k in numbers if cost / k <= most), numbers[-1]) for cost in costs]


def _longest_first(tables: Sequence[FieldTable], dimension: int, devices: int, slices: Sequence[int]) -> Placement:
    """The placement by the longest-processing-time rule."""
    whole = _whole(tables, dimension)
    costs = [_cost(_load(table, dimension // k), whole) for table, k in zip(tables, slices, strict=True)]
    pieces, loads = [], [0.0] * devices
    for field in sorted(range(len(tables)), key=lambda field: -costs[field]):
        width = dimension // slices[field]
        for first in range(0, dimension, width):
            device = loads.index(min(loads))
            loads[device] += costs[field]
            pieces.append(Piece(field, first, width, device))
    return Placement(tuple(tables), dimension, devices, tuple(sorted(pieces)))


def _load(table: FieldTable, width: int) -> Load:
    return Load(table.columns * width, table.rows * width, width)


def _whole(tables: Sequence[FieldTable], dimension: int) -> Load:
    loads = [_load(table, dimension) for table in tables]
    return Load(*(sum(kind) for kind in zip(*loads, strict=True)))


def _cost(load: Load, whole: Load) -> float:
    return sum(part / all_of_it for part, all_of_it in zip(load, whole, strict=True)) / len(load)
