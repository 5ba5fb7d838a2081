"""Tests of `devices.placement`."""

import json

import pytest

from ada_ensemble_tf.devices.placement import FieldTable, Piece, Placement, place

CRITEO_LEVELS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992, 5461306, 10, 5652,
    2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
"""Distinct values of the 26 categorical fields in the Kaggle log of Criteo, which has 13 numerical fields besides."""
CRITEO = tuple(FieldTable(rows) for rows in (*[64] * 13, *CRITEO_LEVELS))


def columns_of(placement: Placement, field: int) -> list[int]:
    """The columns that a field's pieces cover, in order."""
    pieces = [piece for piece in placement.pieces if piece.field == field]
    return [column for piece in pieces for column in range(piece.first, piece.first + piece.width)]


@pytest.mark.parametrize("dimension", [1, 3, 4, 16])
@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_every_column_of_every_field_is_on_one_device(dimension, devices):
    tables = [FieldTable(10), FieldTable(50_000), FieldTable(7, columns=5), FieldTable(300)]
    placement = place(tables, dimension, devices)
    for field in range(len(tables)):
        assert columns_of(placement, field) == list(range(dimension))
        assert len({piece.width for piece in placement.pieces if piece.field == field}) == 1
    assert {piece.device for piece in placement.pieces} <= set(range(devices))
    assert all(piece.width % placement.unit == 0 for piece in placement.pieces)
    assert placement.cut_fields == tuple(
        field for field in range(4) if len([p for p in placement.pieces if p.field == field]) > 1
    )


@pytest.mark.parametrize("devices", [2, 4, 8, 16])
def test_criteos_tables_are_even_to_fifteen_per_cent_padding_counted(devices):
    placement = place(CRITEO, 16, devices)
    assert max(placement.fullest_over_mean()) <= 1.15
    assert placement.cost_over_mean() <= 1.15


def test_whole_tables_of_criteo_are_uneven_on_eight_devices():
    whole = place(CRITEO, 16, 8, target=1000.0)
    assert whole.cut_fields == ()
    # The largest table alone is 2.4 times what a device would hold on average.
    assert whole.fullest_over_mean().held == pytest.approx(10131227 * 8 / sum(table.rows for table in CRITEO), rel=1e-3)


def test_loads_by_hand():
    tables = (FieldTable(10, columns=3), FieldTable(100))
    pieces = (Piece(0, 0, 4, 0), Piece(1, 0, 2, 0), Piece(1, 2, 2, 1))
    placement = Placement(tables, 4, 2, pieces)
    # Device 0: 3 ids of 4 columns and 1 of 2; 10 rows of 4 and 100 of 2; an embedding of 4 and a half of one.
    assert placement.loads() == [(14.0, 240.0, 6.0), (2.0, 200.0, 2.0)]
    assert placement.fullest_over_mean() == pytest.approx((14 / 8, 240 / 220, 6 / 4))
    assert placement.cost_over_mean() == pytest.approx((14 / 16 + 240 / 440 + 6 / 8) / 3 * 2)
    assert (placement.unit, placement.cut_fields) == (2, (1,))
    assert placement.of_device(1) == (Piece(1, 2, 2, 1),)


def test_the_costliest_pieces_go_first_and_each_to_the_device_with_the_least_cost():
    # All lookups and all that is sent are alike, so rows decide; 7 | 6 5 leaves 4 to the first, and 3 to it again.
    placement = place([FieldTable(rows) for rows in (3, 7, 5, 6, 4)], 1, 2)
    assert [piece.device for piece in placement.pieces] == [0, 0, 1, 1, 0]


def test_one_column_cannot_be_cut():
    placement = place([FieldTable(1000), FieldTable(2)], 1, 4)
    assert placement.cut_fields == () and len({piece.device for piece in placement.pieces}) == 2


def test_a_stored_placement_is_the_same_again():
    placement = place(CRITEO, 16, 8)
    assert Placement.from_json(json.loads(json.dumps(placement.to_json()))) == placement


def test_the_lines_name_fields_columns_and_sizes():
    placement = Placement(
        (FieldTable(2**18), FieldTable(4)), 4, 2, (Piece(0, 0, 2, 0), Piece(0, 2, 2, 1), Piece(1, 0, 4, 1))
    )
    lines = placement.describe(["site", "hour"])
    assert lines[0] == "device 0: 2.0 MiB of tables: site[0:2]"
    assert lines[1] == "device 1: 2.0 MiB of tables: site[2:4], hour"
    assert lines[2].endswith("1 of 2 fields cut")
    assert placement.describe()[1].endswith("field 0[2:4], field 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 4, 2), "tables must be one or more"),
        (([FieldTable(0)], 4, 2), "at least one row"),
        (([FieldTable(5)], 0, 2), "dimension and devices must be positive"),
        (([FieldTable(5)], 4, 0), "dimension and devices must be positive"),
        (([FieldTable(5)], 4, 2, 0.9), "target at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        place(*arguments)
