"""What the errors of bad values and missing headers advise, and that it helps."""

import json

import pytest

from data_pipelines.doctor.raw import examine_raw
from data_pipelines.doctor.table_sample import sample_table
from data_pipelines.errors import UserError
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.raw import RawReader
from data_pipelines.read.preparation import Options

NUMBERS = {"name": "n", "kind": "numeric", "bins": "none"}


def _schema(field, **file):
    return parse_schema({"label": "bought", "file": file, "fields": [field]}, "s.json")


def _read(raw, schema):
    """The number of rows."""
    return sum(chunk.columns.num_rows for chunk in RawReader(*schema, [raw]))


@pytest.mark.parametrize(
    "field, good, bad, advice",
    [
        ({}, "5", "NA", '"missing": ["NA"]'),
        ({}, "5", "inf", '"missing": ["inf"]'),
        ({"missing": ["-"]}, "-", "\\N", '"missing": ["-", "\\\\N"]'),
        ({}, "5", " 7", '"trim": true'),
        ({}, "5", "1,5", '"decimal": ","'),
        ({}, "5", "1.234.567", '"decimal": ",", "thousands": "."'),
        ({"decimal": ","}, "1,5", "1.234,5", '"thousands": "."'),
        ({"decimal": ","}, "7", "1.5", '"decimal": "."'),
        ({"bins": "log_square"}, "5", "1_234_567", '"thousands": "_"'),
        ({"bins": "log_square"}, "5", "1.5", ""),
        ({}, "5", "x", ""),
        ({}, "5", "", None),
        ({"kind": "time", "part": "weekday", "format": "YYYYMMDD"}, "20111130", "n/a", '"missing": ["n/a"]'),
        ({"kind": "time", "part": "weekday", "format": "YYYYMMDD"}, "", "30.11.2011", '"format": "%d.%m.%Y"'),
        ({"kind": "time", "part": "weekday", "format": "YYYYMMDD"}, "20111130", "30.11.2011", ""),
    ],
)
def test_a_bad_value_is_told_with_the_key_that_reads_it(tmp_path, field, good, bad, advice):
    if field.get("kind") != "time":
        field = NUMBERS | field
    schema = _schema({"name": "n"} | field, delimiter=";")
    raw = tmp_path / "t.csv"
    raw.write_text("bought;n\n" + f"1;{good}\n" * 20 + f"0;{bad}\n")
    if advice is None:
        assert _read(raw, schema) == 21
        return
    with pytest.raises(UserError) as error:
        _read(raw, schema)
    place, _, ways = str(error.value).partition("; ")
    assert place.startswith(f"{raw}:22: field n: {bad!r} is not a")
    more = f", or give the field {advice} in the schema" if advice else ""
    assert ways == f"fix the line{', or' if advice else ' or'} allow it with --max_bad_rows{more}"
    (finding,) = (one for one in examine_raw(*schema, [raw]).findings if one.kind == "bad_rows")
    assert finding.message.endswith(f"fix them, or leave them out by --max_bad_rows=1{more}")
    if advice:
        # What was advised reads the file.
        changed = {"name": "n"} | field | json.loads(f"{{{advice}}}")
        assert _read(raw, _schema(changed, delimiter=";")) == 21


def test_where_all_is_written_in_another_way_that_is_the_advice(tmp_path):
    (tmp_path / "t.csv").write_text("bought;n\n" + "1;1,5\n0;x\n0;7,25\n" * 20)
    message = 't.csv:2: field n: \'1,5\' is not a number; give the field "decimal": "," in the schema$'
    with pytest.raises(UserError, match=message):
        build(Options(*_schema(NUMBERS, delimiter=";")), [tmp_path / "t.csv"], tmp_path / "d")


def test_a_file_without_a_header_is_told_how_to_name_its_columns(tmp_path):
    (tmp_path / "t.csv").write_text("0,5,x\n" * 3)
    with pytest.raises(UserError, match=r't.csv:1: 0, 5, x, \.\.\. looks like values, .*"file": {"columns": \[\.\.\]}'):
        sample_table(tmp_path / "t.csv")
    report = examine_raw(*_schema(NUMBERS), [tmp_path / "t.csv"])
    way = 'if the file has no header, name all its columns in the schema: "file": {"columns": [..]}'
    assert way in report.findings[0].message
