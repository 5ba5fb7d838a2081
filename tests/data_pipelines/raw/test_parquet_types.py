"""Every type of Parquet: the text it is read as, or the one line that refuses it."""

import datetime
import decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import texts
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.raw import RawReader

PARQUET = RawFormat("tabular", "y", delimiter="")
DAY = datetime.datetime(2014, 10, 21, 23, 0, 5)
HALF = DAY.replace(microsecond=500_000)


def _read(tmp_path, array, separator=""):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"y": pa.array([1, 0] * len(array))[: len(array)], "c.1": array}), path)
    field = Input("c", "c.1", separator=separator, max_values=4 if separator else 1)
    chunks = list(RawReader(PARQUET, (field,), [path]))
    return [text for chunk in chunks for text in texts(chunk.columns)["c.1"].to_list()]


@pytest.mark.parametrize(
    "values, kind, expected",
    [
        ([100, None], pa.int64(), ["100", ""]),
        ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
        ([9007199254740993, None], pa.int64(), ["9007199254740993", ""]),
        ([100.0, None, float("nan"), -0.0, 1.5, 1e16], pa.float64(), ["100", "", "", "0", "1.5", "10000000000000000"]),
        ([0.1, 7.0], pa.float32(), ["0.1", "7"]),
        ([1.5, 7.0], pa.float16(), ["1.5", "7"]),
        ([decimal.Decimal("7.00"), decimal.Decimal("7.10")], pa.decimal128(9, 2), ["7", "7.10"]),
        ([True, None], pa.bool_(), ["true", ""]),
        (["x", ""], pa.string(), ["x", ""]),
        (["x", None], pa.large_string(), ["x", ""]),
        (["x", "y"], pa.string_view(), ["x", "y"]),
        (["x", "é"], pa.binary(), ["x", "é"]),
        ([None, None], pa.null(), ["", ""]),
        ([DAY.date()], pa.date32(), ["2014-10-21"]),
        ([DAY.date()], pa.date64(), ["2014-10-21"]),
        ([DAY.time()], pa.time64("us"), ["23:00:05"]),
        ([DAY, HALF], pa.timestamp("ms"), ["2014-10-21 23:00:05", "2014-10-21 23:00:05.500"]),
        ([DAY], pa.timestamp("ns"), ["2014-10-21 23:00:05"]),
        ([DAY], pa.timestamp("us", "America/New_York"), ["2014-10-21 19:00:05-04:00"]),
    ],
)  # fmt: skip
def test_text_of_a_type(tmp_path, values, kind, expected):
    assert _read(tmp_path, pa.array(values, kind)) == expected


def test_dictionaries(tmp_path):
    assert _read(tmp_path, pa.array(["b", None, "b"]).dictionary_encode()) == ["b", "", "b"]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float64())])
def test_lists(tmp_path, kind):
    values = [[1.0, 2.5], [], None, [None, float("nan"), 3.0], [None]]
    assert _read(tmp_path, pa.array(values, kind), "|") == ["1|2.5", "", "", "3", ""]
    assert _read(tmp_path, pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)), "|") == ["1|2"]


def test_a_separator_in_a_list_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"column c.1: 'a\|b' in a list holds the separator '\|' of its field; give"):
        _read(tmp_path, pa.array([["x"], ["a|b", "c"]]), "|")


@pytest.mark.parametrize(
    "array, kind",
    [
        (pa.array([{"land": "de", "zone": 1}]), "struct<"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "map<"),
        (pa.array([[{"a": 1}]]), "list<"),
        (pa.array([[[1]]]), "list<"),
        (pa.array([datetime.timedelta(1)]), "duration"),
    ],
)
def test_types_without_a_text(tmp_path, array, kind):
    message = f"a.parquet: column c.1 is of type {kind}.*, which has no unique text form; write"
    for separator in ("", "|"):
        with pytest.raises(UserError, match=message):
            _read(tmp_path, array, separator)


def test_binary_that_is_no_text(tmp_path):
    with pytest.raises(UserError, match="column c.1 of type Binary is not valid UTF-8 text; write it as text"):
        _read(tmp_path, pa.array([b"\xff\xfe"]))


def test_rounded_ids_are_told(tmp_path, caplog):
    _read(tmp_path, pa.array([2.0**53, 1.0]))
    assert "column c.1 holds floats beyond 2^53" in caplog.text and caplog.text.count("beyond") == 1
