"""Dates, constants, bins and numbers of users' files, from the raw file to ids and values."""

import datetime

import numpy as np
import polars as pl
import pytest

from data_pipelines.doctor.prepared import examine_prepared
from data_pipelines.doctor.raw import examine_raw
from data_pipelines.doctor.suggest_schema import decide, save_schema
from data_pipelines.doctor.table_sample import sample_table
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import codes, distinct
from data_pipelines.fields.readings import Reading, read
from data_pipelines.fields.rules import numbers
from data_pipelines.fields.times import canonical_times, readings_of, time_form
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema, read_schema_file
from data_pipelines.prepare.build import build
from data_pipelines.raw import RawReader
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options


def _schema(*fields, **file):
    return parse_schema({"label": "bought", "file": file, "fields": list(fields)}, "s.json")


def _prepare(schema, raw, data_dir):
    """The vocabularies of a prepared file, and what preparation said."""
    lines = []
    build(Options(*schema, min_count=1), [raw], data_dir, show=lines.append)
    return Vocabularies.load(data_dir, open_data(data_dir).schema), [line for line in lines if line.startswith("note")]


def _time(part="weekday", **keys):
    return {"name": part, "kind": "time", "part": part, "column": "signup"} | keys


def _column(raw, schema, name):
    """A column's text of each row, as its first field reads it."""
    raw_format, inputs = schema
    field = next(one for one in inputs if one.column == name)
    texts = [
        read(distinct(chunk.columns, name), field.reading).gather(codes(chunk.columns, name))
        for chunk in RawReader(raw_format, inputs, [raw])
    ]
    return pl.concat(texts)


def test_a_declared_date_is_its_day_and_an_undeclared_one_refused(cases, tmp_path):
    raw = cases / "dates.csv"
    vocabularies, _ = _prepare(_schema(_time(format="YYYYMMDD")), raw, tmp_path / "d")
    chunk = next(iter(RawReader(vocabularies.schema.format, vocabularies.schema.fields, [raw])))
    ids = vocabularies.encode(chunk.columns)[:14, 0]
    days = [datetime.date(2011, 11, 1 + i).strftime("%w") for i in range(14)]
    assert days[0] == "2" and [vocabularies.levels["weekday"][int(i) - 1] for i in ids] == days
    message = "may be of two forms: '20111101' as YYMMDDHH is 2020-11-11 01:00, a Wednesday, or '20111101' as YYYYMMDD "
    message += 'is 2011-11-01, a Tuesday; declare the field\'s "format"'
    with pytest.raises(UserError, match=message):
        build(Options(*_schema(_time())), [raw], tmp_path / "other")
    report = examine_raw(*_schema(_time()), [raw])
    assert [finding.kind for finding in report.findings][:1] == ["unreadable"] and message in report.findings[0].message
    (decision,) = (one for one in decide(sample_table(raw), "bought") if one.column == "signup")
    assert decision.kind == "left out" and not decision.fields and "2011-11-01, a Tuesday" in decision.warning


def test_one_row_that_fits_one_form_alone_decides(tmp_path):
    (tmp_path / "t.csv").write_text("bought,signup\n" + "0,20111101\n1,20111101\n" * 50 + "1,20111130\n" * 4)
    vocabularies, notes = _prepare(_schema(_time()), tmp_path / "t.csv", tmp_path / "d")
    assert vocabularies.schema.fields[0].reading.time == "YYYYMMDD"
    assert set(vocabularies.levels["weekday"]) == {"2", "3"}
    assert 'note: field weekday: times are read as YYYYMMDD; declare it as the field\'s "format"' in notes
    with pytest.raises(UserError, match="holds dates such as '20111101', which have no hour; leave the field out"):
        build(Options(*_schema(_time("hour_of_day"))), [tmp_path / "t.csv"], tmp_path / "other")
    # The same files again are known to be prepared.
    lines = []
    build(Options(*_schema(_time()), min_count=1), [tmp_path / "t.csv"], tmp_path / "d", show=lines.append)
    assert lines[-1].endswith("already prepared")


@pytest.mark.parametrize(
    "rows, message",
    [
        ("0,01.02.2014\n", "holds no times of a known form, but '01.02.2014'; declare the field's \"format\""),
        ("0,\n", "column 'signup' is empty; leave the field out"),
        ("0,14102123\n0,2014102123\n", "may be of two forms: '14102123' as YYMMDDHH is .* '2014102123' as YYYYMMDDHH"),
    ],
)
def test_columns_of_no_form_are_refused(tmp_path, rows, message):
    (tmp_path / "t.csv").write_text("bought,signup\n" + rows * 20)
    with pytest.raises(UserError, match=message):
        build(Options(*_schema(_time())), [tmp_path / "t.csv"], tmp_path / "d")


def test_a_row_of_another_form_is_a_bad_row(tmp_path):
    (tmp_path / "t.csv").write_text("bought,signup\n" + "0,2014102123\n" * 20 + "1,14102123\n")
    with pytest.raises(UserError, match="t.csv:22: field signup: '14102123' is not a time of the form YYYYMMDDHH"):
        build(Options(*_schema(_time())), [tmp_path / "t.csv"], tmp_path / "d")


def test_epoch_times_are_suggested_and_read_in_utc(cases, tmp_path):
    raw, schema_file = cases / "epoch.csv", tmp_path / "schema.json"
    sample = sample_table(raw)
    decisions = decide(sample, "bought")
    save_schema(schema_file, sample, decisions)
    (decision,) = (one for one in decisions if one.column == "at")
    assert decision.why == "as '1683676800', unix_s (in UTC)"
    schema = read_schema_file(schema_file)
    assert {one.transform for one in schema[1] if one.column == "at"} == {"hour_of_day", "weekday"}
    _prepare(schema, raw, tmp_path / "d")
    utc = [datetime.datetime.fromtimestamp(1683676800 + 97 * i, datetime.timezone.utc) for i in range(1500)]
    assert _column(raw, schema, "at").to_list() == [f"{time:%Y-%m-%d %H}" for time in utc]


def test_forms_that_are_none():
    for name, message in {
        "YYYY": "'format' should be YYMMDDHH, .* got 'YYYY'",
        "%d.%m": "has no year",
        "%Y-%m-%d %Q": "'%Q' of .* is unknown; there are %Y, ",
        "%Y %y-%m-%d": "has a part twice",
        "%Y-%m-%d %I": "should have %I and %p, or neither and %H",
    }.items():
        with pytest.raises(UserError, match=message):
            time_form(name)
    with pytest.raises(UserError, match=r"fields\[0\]: times of 'format' YYYYMMDD have no hour"):
        _schema(_time("hour_of_day", format="YYYYMMDD"))
    assert canonical_times(pl.Series(["20000230", "20000229"]), "YYYYMMDD").to_list() == [None, "2000-02-29"]
    assert readings_of({"YYMMDDHH": "14102123"}) == "'14102123' as YYMMDDHH is 2014-10-21 23:00, a Tuesday"


def test_all_values_of_a_constant_are_alike_and_it_is_told(cases, tmp_path):
    fields = ({"name": "c", "kind": "numeric", "bins": "none"}, {"name": "log", "kind": "numeric", "bins": "none"})
    fields = (fields[0], fields[1] | {"column": "c", "scale": "log"})
    vocabularies, notes = _prepare(_schema(*fields), cases / "constant.csv", tmp_path / "d")
    told = "is 0.1 or missing in all training rows, so it tells little; leave it out"
    assert f"note: field c: {told}" in notes and any(note.startswith("note: field log: is 0.09") for note in notes)
    fields = vocabularies.schema.fields
    for name in ("constant.csv", "constant_other_values.csv"):
        (chunk,) = RawReader(vocabularies.schema.format, fields, [cases / name])
        assert len(np.unique(vocabularies.encode(chunk.columns), axis=0)) == 1
        assert not vocabularies.values(chunk.columns).any()
    report = examine_prepared(tmp_path / "d")
    assert {one.field for one in report.findings if one.kind == "one_level"} == {"c", "log"}
    report = examine_raw(*_schema(_numeric("c")), [cases / "constant.csv"])
    assert [one.field for one in report.findings if one.kind == "one_level"] == ["c"]


def _numeric(name, bins="equal_frequency", **keys):
    return {"name": name, "kind": "numeric", "bins": bins} | keys


def test_zero_is_a_bin_and_the_others_share_the_rest(cases, tmp_path):
    schema = _schema(_numeric("gain", count=40))
    vocabularies, notes = _prepare(schema, cases / "zeros.csv", tmp_path / "d")
    (field,) = vocabularies.schema.fields
    assert len(field.parameters) == 39 and not any("bins" in note for note in notes)
    values = numbers(_column(cases / "zeros.csv", schema, "gain"))
    sizes = np.bincount(np.searchsorted(field.parameters, values, side="right"), minlength=40)
    assert sizes[0] == (values == 0).sum() > 1300 and sizes[1:].min() > 0 and sizes[1:].max() <= 12
    report = examine_prepared(tmp_path / "d")
    assert not [one for one in report.findings if one.kind == "few_bins"]


def test_fewer_than_half_of_the_bins_are_told(cases, tmp_path):
    schema = _schema(_numeric("hour", count=49), _numeric("spend", count=49))
    _, notes = _prepare(schema, cases / "base.csv", tmp_path / "d")
    told = "field hour: only 24 of 49 bins: the training rows hold 24 different numbers; ask for fewer, or make "
    told += "it categorical"
    assert f"note: {told}" in notes and not any("field spend" in note for note in notes)
    for report in (examine_prepared(tmp_path / "d"), examine_raw(*schema, [cases / "base.csv"])):
        (finding,) = (one for one in report.findings if one.kind == "few_bins")
        assert finding.message == told and finding.severity == "warning"


@pytest.mark.parametrize(
    "name, keys, why",
    [
        ("na", {"missing": ["NA"]}, "93 % numbers; the rest is 'NA'"),
        ("backslash_n", {"missing": ["\\N"]}, r"93 % numbers; the rest is '\\N'"),
        ("dash", {"missing": ["-"]}, "93 % numbers; the rest is '-'"),
        ("inf", {"missing": ["inf"]}, "93 % numbers; the rest is 'inf'"),
        ("decimal_comma", {"decimal": ","}, "decimal comma"),
        ("thousands", {"thousands": ","}, "',' between thousands"),
        ("blank", {"trim": True}, "blanks around values"),
    ],
)
def test_numbers_are_suggested_and_read_however_they_are_written(cases, tmp_path, name, keys, why):
    raw = cases / f"numbers_{name}.csv"
    sample = sample_table(raw)
    decisions = decide(sample, "bought")
    (decision,) = (one for one in decisions if one.column == "spend")
    assert decision.fields == ({"name": "spend", "kind": "numeric", "bins": "equal_frequency", "count": 10} | keys,)
    assert decision.why.startswith("numbers from ") and decision.why.endswith(f"; {why}")
    save_schema(tmp_path / "s.json", sample, decisions)
    schema = read_schema_file(tmp_path / "s.json")
    vocabularies, _ = _prepare(schema, raw, tmp_path / "d")
    expected = pl.read_csv(cases / "base.csv")["spend"].to_numpy() * (1000 if name == "thousands" else 1)
    expected[np.arange(1500) % 15 == 0] = np.nan if "missing" in keys else expected[np.arange(1500) % 15 == 0]
    np.testing.assert_allclose(numbers(_column(raw, schema, "spend")), expected)
    assert ("" in vocabularies.levels["spend"].to_list()) == ("missing" in keys)
    assert set(vocabularies.levels["device"]) == {"phone", "tablet", "tv"}


def test_keys_of_the_file_hold_for_all_fields_that_say_nothing_else():
    fields = ({"name": "a", "kind": "categorical"}, _numeric("b", missing=["-"], decimal="."), _numeric("c"))
    _, inputs = _schema(*fields, missing=["NA"], decimal=",", thousands=" ", trim=True)
    assert [one.reading for one in inputs] == [
        Reading(("NA",), True),
        Reading(("-",), True, ".", " "),
        Reading(("NA",), True, ",", " "),
    ]


def test_a_file_without_a_header(tmp_path):
    rows = [f"{i % 7},x{i % 3},{int(i % 4 == 0)}" for i in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "test.csv").write_text("\n".join(row.rsplit(",", 1)[0] for row in rows) + "\n")
    columns = ["n", "word", "bought"]
    schema = _schema(_numeric("n", "log_square"), {"name": "word", "kind": "categorical"}, columns=columns)
    vocabularies, _ = _prepare(schema, tmp_path / "t.csv", tmp_path / "d")
    assert sum(open_data(tmp_path / "d").rows.values()) == 200
    assert set(vocabularies.levels["word"]) == {"x0", "x1", "x2"}
    fields = vocabularies.schema.fields
    ids = [
        vocabularies.encode(next(iter(RawReader(schema[0], fields, [tmp_path / name], label="ignored"))).columns)
        for name in ("t.csv", "test.csv")
    ]
    np.testing.assert_array_equal(*ids)


@pytest.mark.parametrize(
    "field, file, message",
    [
        ({"decimal": ";"}, {}, r"fields\[0\]: 'decimal' should be '.' or ',', got ';'"),
        ({"thousands": "."}, {}, r"fields\[0\]: 'thousands' should be one of .* and not 'decimal', got '.'"),
        ({"missing": [1]}, {}, r"fields\[0\]: 'missing' should be a list of texts, got \[1\]"),
        ({"missing": "NA"}, {}, r"fields\[0\]: 'missing' should be list, got 'NA'"),
        ({"format": "unix_s"}, {}, r"fields\[0\]: unknown key 'format'"),
        ({}, {"columns": ["n"]}, "'columns' should have the label 'bought' among them, got n"),
        ({}, {"columns": ["n", "n", "bought"]}, "'columns' should be the names of all columns in order, each once"),
        ({}, {"columns": ["n", "bought"], "format": "parquet"}, "a Parquet file .* names its columns itself"),
    ],
)
def test_keys_that_cannot_be(field, file, message):
    with pytest.raises(UserError, match=message):
        _schema(_numeric("n", "log_square") | field, **file)


def test_a_bad_number_is_named_with_the_way_numbers_are_written(tmp_path):
    (tmp_path / "t.csv").write_text('bought;n\n0;"1.234,5"\n1;1.5\n')
    schema = _schema(_numeric("n", "none", decimal=",", thousands="."), delimiter=";")
    with pytest.raises(UserError, match="t.csv:3: field n: '1.5' is not a number with ',' before its fraction, '.' "):
        build(Options(*schema), [tmp_path / "t.csv"], tmp_path / "d")


def test_one_text_of_two_numbers_is_left_out_with_both_readings(tmp_path):
    rows = [f'{i % 2},{i % 5},"1,{200 + i % 7}"' for i in range(100)]
    (tmp_path / "t.csv").write_text("bought,n,price\n0,1,7\n" + "\n".join(rows) + "\n")
    decisions = decide(sample_table(tmp_path / "t.csv"), "bought")
    (decision,) = (one for one in decisions if one.column == "price")
    both = "'1,200' is 1.2 with decimal comma, or 1200 with ',' between thousands"
    assert (decision.kind, decision.fields, decision.why) == ("left out", (), both)
    assert decision.warning == f'{both}; add a field of kind numeric with its "decimal" or "thousands"'
    # Declared, either is read.
    for keys, value in (({"decimal": ","}, 1.2), ({"thousands": ","}, 1200)):
        schema = _schema(_numeric("price") | keys)
        assert numbers(_column(tmp_path / "t.csv", schema, "price"))[:2].tolist() == [7, value]
    with pytest.raises(UserError, match=f"t.csv:3: field price: '1,200' is not a number; {both}: give the field its "):
        build(Options(*_schema(_numeric("price"))), [tmp_path / "t.csv"], tmp_path / "d")
