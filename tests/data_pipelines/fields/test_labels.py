"""What a label may be, and how a schema file declares it."""

import json

import msgspec
import polars as pl
import pytest
from raw_rows import write

from data_pipelines.errors import UserError
from data_pipelines.fields.declarations import RawFormat
from data_pipelines.fields.labels import label_values, way_to_declare
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.json_files import as_type
from data_pipelines.raw import RawReader

FIELDS = [{"name": "a", "kind": "categorical"}]


def _format(label):
    return parse_schema({"label": label, "fields": FIELDS}, "s.json")[0]


@pytest.mark.parametrize(
    "label, expected",
    [
        ("y", {"0": 0, "1": 1, "1.0": 1, "0.00": 0, "TRUE": 1, "false": 0, " 1 ": 1, "2": -1, "": -1, "-1": -1}),
        ({"column": "y", "positive": ">50K"}, {">50K": 1, " >50K ": 1, "<=50K": 0, "": -1, "NaN": -1, ">50K.": 0}),
        ({"column": "y", "positive": ["a", " b"]}, {"a": 1, "b": 1, "c": 0, "A": 0}),
        ({"column": "y", "positive": "1"}, {"1": 1, "1.0": 1, "-1": 0, "-1.0": 0}),
        ({"column": "y", "at_least": 4}, {"4": 1, "3.99": 0, " 5 ": 1, "4e0": 1, "": -1, "nan": -1, "x": -1, "-7": 0}),
    ],
)
def test_values_of_labels(label, expected):
    assert label_values(pl.Series(list(expected)), _format(label)).tolist() == list(expected.values())


@pytest.mark.parametrize(
    "label, message",
    [
        ({"column": "y"}, "s.json, label: give either 'positive', a text, or 'at_least', a number"),
        ({"column": "y", "positive": "1", "at_least": 1}, "give either"),
        ({"column": "y", "at_least": True}, "give either"),
        ({"column": "y", "positive": []}, "'positive' should be a text or a list of texts"),
        ({"column": "y", "positive": [1]}, "'positive' should be a text or a list of texts"),
        ({"column": "y", "at_least": "4"}, "'at_least' should be int | float, got '4'".replace("|", r"\|")),
        ({"positive": "1"}, "key 'column' is missing"),
        (1, "'label' should be str"),
        ({"column": "a", "positive": "1"}, "field a reads the label column 'a'"),
    ],
)
def test_wrong_declarations(label, message):
    with pytest.raises(UserError, match=message):
        _format(label)


def test_a_format_comes_back_from_json():
    for label in ("y", {"column": "y", "positive": "b"}, {"column": "y", "at_least": 4}):
        raw_format = _format(label)
        assert as_type(json.loads(json.dumps(msgspec.to_builtins(raw_format))), RawFormat, "x") == raw_format


def test_the_way_to_declare_names_what_is_there():
    bought, income = RawFormat("tabular", "bought"), RawFormat("tabular", "income")
    way = way_to_declare(pl.Series(["1", "-1", ""]), bought)
    assert "which of '-1', '1' are positive" in way and '{"column": "bought", "positive": "1"}' in way
    assert '"positive": ">50K"' in way_to_declare(pl.Series([">50K", " <=50K"]), income)
    assert '"positive": "TEXT"' in way_to_declare(pl.Series(list("abcdefgh")), income)
    assert way_to_declare(pl.Series(["1", "", "0 "]), income) == "" == way_to_declare(pl.Series([""]), income)


def _read(tmp_path, labels, label="y", **arguments):
    path = write(tmp_path / "a.csv", ["y,a", *(f"{one},x" for one in labels)])
    reader = RawReader(*parse_schema({"label": label, "fields": FIELDS}, "s.json"), [path], **arguments)
    return [y for chunk in reader for y in chunk.label.tolist()]


def test_reading_declared_labels(tmp_path):
    assert _read(tmp_path, ["yes", "no", " yes"], {"column": "y", "positive": "yes"}) == [1, 0, 1]
    assert _read(tmp_path, ["5", "3", "4.0"], {"column": "y", "at_least": 4}) == [1, 0, 1]
    with pytest.raises(UserError, match="a.csv:3: field y: '' is not a label; fix the line or see whether"):
        _read(tmp_path, ["yes", "", "no"], {"column": "y", "positive": "yes"})
    with pytest.raises(UserError, match="a.csv:3: field y: 'x' is not a number"):
        _read(tmp_path, ["4", "x"], {"column": "y", "at_least": 4})


def test_no_advice_drops_most_rows(tmp_path):
    with pytest.raises(UserError) as error:
        _read(tmp_path, ["yes", "no"] * 20)
    assert "which of 'no', 'yes' are positive" in str(error.value) and "max_bad_rows" not in str(error.value)
    with pytest.raises(UserError, match="a.csv:6: .*; fix the line, or allow it with --max_bad_rows, or say in the"):
        _read(tmp_path, ["1", "0", "1", "0", "?", "1", "0", "1"])
    with pytest.raises(UserError, match="'x' is not an integer; fix the line or see whether the schema says what"):
        fields = [{"name": "a", "kind": "numeric"}]
        path = write(tmp_path / "b.csv", ["y,a", "1,x", "0,x", "1,x"])
        list(RawReader(*parse_schema({"label": "y", "fields": fields}, "s.json"), [path]))
