"""Where each row of an embedding table is, once its pieces are on several devices.

All devices hold an array of one shape, `[L, w]`: w columns are the placement's unit, and a row of the table is D / w
such rows, its units, next to each other as far as they are on one device. Row 0 of every array belongs to no field and
stays 0; what a device has no part in reads and updates that row.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from ada_ensemble_tf.devices.placement import Piece, Placement


class TableLayout:
    """The rows of every device for a placement of a table.

    Args:
        placement: of the F fields' tables, over N devices.
        offsets: each field's first row in the table.

    Attributes:
        placement, offsets: as given.
        unit: w.
        slices: S = D / w, the units of a row.
        rows: L, those of the fullest device.
        starts: each piece's first row in the array of its device.
        columns: C, ids of a row of the data.
        has_padding: whether a field has several ids, of which some may be unused.
        entry_column: `[N, E]`, the column of ids that a device's lookup e reads; a lookup is of one unit for one id.
        entry_factor, entry_base: `[N, E]`; id i is row factor * i + base of the array.
        entry_real: `[N, E]`, False for what fills up to the E of the device with the most.
        entry_unit: `[N, E]`, which of a device's U units a lookup is part of; -1 for what fills up.
        units: U, of the device with the most.
        place_of_unit: `[F * S]`, where among all N * U units, device by device, are those of a row's embedding.
        field_base: `[N, F, S]`, the row of level 0 of each field's units on a device; -1 where it has none.
        field_factor: `[F]`, the distance of a field's levels in an array.
    """

    def __init__(self, placement: Placement, offsets: Sequence[int]):
        self.placement, self.offsets = placement, tuple(offsets)
        tables, devices = placement.tables, placement.devices
        self.unit = placement.unit
        self.slices = placement.dimension // self.unit
        self.columns = sum(table.columns for table in tables)
        self.has_padding = any(table.columns > 1 for table in tables)
        self.starts: dict[Piece, int] = {}
        ends = [1] * devices
        for piece in placement.pieces:
            self.starts[piece] = ends[piece.device]
            ends[piece.device] += tables[piece.field].rows * (piece.width // self.unit)
        self.rows = max(ends)
        first_column = [0, *itertools.accumulate(table.columns for table in tables)]
        self.field_base = np.full((devices, len(tables), self.slices), -1, np.int64)
        self.field_factor = np.ones(len(tables), np.int64)
        entries: list[list[tuple[int, int, int, int]]] = [[] for _ in range(devices)]
        counts, places = [0] * devices, {}
        for piece in placement.pieces:
            factor = piece.width // self.unit
            self.field_factor[piece.field] = factor
            for j in range(factor):
                base = self.starts[piece] + j
                self.field_base[piece.device, piece.field, piece.first // self.unit + j] = base
                places[piece.field, piece.first // self.unit + j] = (piece.device, counts[piece.device])
                entries[piece.device] += [
                    (
                        first_column[piece.field] + c,
                        factor,
                        base - factor * self.offsets[piece.field],
                        counts[piece.device],
                    )
                    for c in range(tables[piece.field].columns)
                ]
                counts[piece.device] += 1
        self.units = max(counts)
        most = max(map(len, entries))
        filled = np.array([own + [(0, 0, 0, -1)] * (most - len(own)) for own in entries], np.int64)
        self.entry_column, self.entry_factor, self.entry_base, self.entry_unit = np.moveaxis(filled, 2, 0)
        self.entry_real = self.entry_unit >= 0
        order = [places[field, s] for field in range(len(tables)) for s in range(self.slices)]
        self.place_of_unit = np.array([device * self.units + unit for device, unit in order])

    @property
    def sizes(self) -> tuple[int, ...]:
        """The levels of each field."""
        return tuple(table.rows for table in self.placement.tables)

    def rows_of(self, piece: Piece) -> slice:
        """The rows of a piece in the array of its device."""
        factor = piece.width // self.unit
        return slice(self.starts[piece], self.starts[piece] + factor * self.placement.tables[piece.field].rows)
