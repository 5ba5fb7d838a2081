"""Ways to hold a model on several devices: what each device needs, and which way is the simplest that fits."""

from collections.abc import Sequence
from typing import NamedTuple

from ada_ensemble_tf.devices.placement import place
from ada_ensemble_tf.devices.table_layout import TableLayout
from ada_ensemble_tf.planning.model_bytes import ModelBytes, TableBytes
from ada_ensemble_tf.planning.traffic import Mesh, Traffic, dense_traffic, table_traffic

TABLES = ("replicated", "columns")
DENSE = ("replicated", "hsdp", "fsdp")
REFUSED = {
    "tables columns": "optimizers that update whole tables, 16-bit tables and slots, fields that share rows or have "
    "vectors, stages, average_last, ema_momentum, xi, --continue_from, --warm_start",
    "dense fsdp and hsdp": "weight_optimizer group_ftrl, 16-bit slots and catch_up of weight_optimizer, stages, "
    "average_last, ema_momentum, xi, --continue_from, --warm_start",
}
"""What trainings refuse, by what is sharded."""
_GRADIENT = 4
"""Bytes of a number in the gradient of a table."""
_ID = 4


class Memory(NamedTuple):
    """Bytes on the fullest device."""

    tables: float
    weights: float
    gradients: float
    slots: float
    activations: float

    @property
    def total(self) -> float:
        """Of all parts."""
        return sum(self)


class Plan(NamedTuple):
    """A way to hold a model."""

    tables: str
    """One of `TABLES`."""
    dense: str
    """One of `DENSE`."""
    memory: Memory
    traffic: Traffic

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"tables {self.tables}, dense {self.dense}"


def plans(model: ModelBytes, mesh: Mesh, rows: int) -> list[Plan]:
    """The plans that differ on a mesh, the simplest first: those that shard less, and tables before dense layers.

    Args:
        model: bytes of the model; its activations are those of a device's rows.
        mesh: the devices.
        rows: of the global batch.
    """
    several, several_a_host = mesh.size > 1, mesh.devices > 1
    # Inside a single host, hybrid and full sharding are the same; with one device a host, hybrid sharding is none.
    dense = ["replicated", *(["hsdp"] if several_a_host and mesh.hosts > 1 else []), *(["fsdp"] if several else [])]
    ways = [(tables, one) for tables in (TABLES if several else TABLES[:1]) for one in dense]
    ways.sort(key=lambda way: (sum(part != "replicated" for part in way), way[0] == "replicated"))
    return [_plan(model, mesh, rows, *way) for way in ways]


def recommended(found: Sequence[Plan], memory: float) -> Plan | None:
    """The first plan whose devices need at most `memory` bytes; None if none fits."""
    return next((plan for plan in found if plan.memory.total <= memory), None)


def _plan(model: ModelBytes, mesh: Mesh, rows: int, tables: str, dense: str) -> Plan:
    parts = {"replicated": 1, "hsdp": mesh.devices, "fsdp": mesh.size}[dense]
    cut = [[one for one in layer if one.elements >= parts] for layer in model.layers] if parts > 1 else []
    weights, gradients, slots = (float(part) for part in (model.weights, model.gradients, model.slots))
    gathered, exchanged = 0.0, 0.0
    for layer in cut:
        for one in layer:
            # Equal parts of the flat array, the last filled up.
            part = -(-one.elements // parts)
            weights -= one.held - part * one.number
            gradients -= one.held - part * one.number
            slots -= one.slots - one.slots / one.elements * part
            exchanged += part * parts * one.number
        gathered = max(gathered, float(sum(one.held for one in layer)))
    whole = model.gradients - sum(one.held for layer in cut for one in layer)
    traffic, held, of_rows = dense_traffic(dense, mesh, exchanged, whole), 0.0, 0.0
    ids = sum(field.columns for field in model.fields)
    for table in model.tables:
        if tables == "replicated":
            own, sent = Part(table.held, table.slots), 0.0
            # Every device gets the gradients of all rows of the batch, with their ids.
            of_rows += rows * ids * (table.dimension * _GRADIENT + _ID)
        else:
            own, sent = part_of(model, table, mesh.size)
            of_rows += rows * sent * _GRADIENT
        held += own.held
        slots += own.slots
        row_bytes, norms = table.dimension * _GRADIENT, own.is_cut and table.row_norms
        of_table = table_traffic(tables, mesh, ids, row_bytes, sent * table.sent, rows, norms)
        for kind, bytes_sent in of_table.by_kind.items():
            traffic = traffic.plus(kind, bytes_sent)
    activations = model.recomputed if cut else model.activations
    # A sharded layer's gradient is whole until it is scattered, like the weights beside it.
    memory = Memory(held, weights + gathered, gradients + gathered + of_rows, slots, activations)
    return Plan(tables, dense, memory, traffic)


class Part(NamedTuple):
    """A device's part of a table; all are as large as the fullest."""

    held: float
    slots: float
    is_cut: bool = False
    """Whether rows of a field have parts on several devices."""


def part_of(model: ModelBytes, table: TableBytes, devices: int) -> tuple[Part, float]:
    """(a device's part of a table in columns, numbers that a device sends for a row of the data)."""
    placement = place(model.fields, table.dimension, devices)
    layout = TableLayout(placement, [sum(field.rows for field in model.fields[:i]) for i in range(len(model.fields))])
    numbers, rows = layout.rows * layout.unit, sum(field.rows for field in model.fields)
    a_number = (table.slots - rows * table.slots_a_row) / (rows * table.dimension)
    part = Part(numbers * table.number, numbers * a_number + layout.rows * table.slots_a_row, layout.slices > 1)
    return part, layout.units * layout.unit
