"""Users' files, from the folder of cases next to the checkout: the right rows, or the right error line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from raw_rows import rows_of

from data_pipelines.errors import UserError
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.raw import RawReader
from data_pipelines.raw.files import raw_files
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

SCRIPT = Path(__file__).parents[3].parent / "shared" / "cases" / "make_cases.py"
FIELDS = ({"name": "shop", "kind": "categorical"}, {"name": "device", "kind": "categorical"})
SPEND = {"name": "spend", "kind": "numeric", "bins": "none"}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    if not SCRIPT.is_file():
        pytest.skip(f"the cases are made by {SCRIPT}, which is not there")
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, SCRIPT, folder], check=True)
    return folder


def _schema(folder, label="bought", form="csv", fields=(*FIELDS, SPEND)):
    path = folder / f"schema-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({"label": label, "file": {"format": form}, "fields": list(fields)}))
    return make_format("tabular", schema_file=path)


def _prepared(cases, folder, names, **schema):
    folder.mkdir()
    files = raw_files([str(cases / name) for name in names])
    build(Options(*_schema(folder, **schema), min_count=1), files, folder / "data", show=lambda line: None)
    data = open_data(folder / "data")
    return data, Vocabularies.load(data.path, data.schema)


def test_one_id_has_one_text(cases, tmp_path):
    whole = ["ids_int.parquet", "ids_float.csv"]
    holes = ["ids_int_null.parquet", "ids_float_null.parquet", "ids_float_nan.parquet"]
    data, vocabularies = _prepared(cases, tmp_path / "a", whole + holes, form="parquet")
    assert sorted(vocabularies.levels["shop"]) == ["", *map(str, range(100, 130))]
    schema = data.schema

    def ids(name):
        reader = RawReader(schema.format, schema.fields, [cases / name], label="ignored")
        return np.concatenate([vocabularies.encode(chunk.columns) for chunk in reader])

    for group in (whole, holes):
        first, *others = [ids(name) for name in group]
        assert len(first) == 1500 and all((first == other).all() for other in others)
    # Rows without a shop differ, the others do not.
    assert (ids(whole[0]) != ids(holes[0])).any(axis=1).mean() == pytest.approx(0.1)


@pytest.mark.parametrize(
    "name, label, positive",
    [
        ("true", "bought", None),
        ("float", "bought", None),
        ("minus_one", {"column": "bought", "positive": "1"}, None),
        ("minus_one", {"column": "bought", "at_least": 0}, None),
        ("words", {"column": "bought", "positive": ">50K"}, None),
        ("minus_one", "bought", "1"),
        ("words", "bought", ">50K"),
    ],
)
def test_labels(cases, tmp_path, name, label, positive):
    """`positive`: the text that the message should propose."""
    path = cases / f"labels_{name}.csv"
    raw_format, fields = _schema(tmp_path, label)
    right = [int(chunk) for chunk, *_ in rows_of(RawReader(*_schema(tmp_path), [cases / "base.csv"]))[0]]
    if positive is None:
        found, _ = rows_of(RawReader(raw_format, fields, [path]))
        assert [int(one) for one, *_ in found] == right
    else:
        with pytest.raises(UserError) as error:
            list(RawReader(raw_format, fields, [path]))
        assert f'"label": {{"column": "bought", "positive": "{positive}"}}' in str(error.value)


def test_labels_that_are_missing(cases, tmp_path):
    raw_format, fields = _schema(tmp_path)
    with pytest.raises(UserError, match=r"labels_empty.csv:2: field bought: '' is not 0 or 1; fix the line or see"):
        list(RawReader(raw_format, fields, [cases / "labels_empty.csv"]))
    for name in ("empty", "minus_one", "words"):
        reader = RawReader(raw_format, fields, [cases / f"labels_{name}.csv"], label="ignored")
        assert sum(chunk.columns.num_rows for chunk in reader) == 1500


@pytest.mark.parametrize("name", ["base.csv.gz", "base.csv.bz2", "base.csv.xz", "parts", "parts/part-*.csv"])
def test_containers_and_parts_are_the_plain_rows(cases, tmp_path, name):
    raw_format, fields = _schema(tmp_path)
    files = raw_files([str(cases / name)])
    assert rows_of(RawReader(raw_format, fields, files)) == rows_of(RawReader(raw_format, fields, [cases / "base.csv"]))


@pytest.mark.parametrize(
    "name, message",
    [
        ("base.zip", "base.zip: a zip archive or an Excel file; unpack it"),
        ("base_utf16.csv", "base_utf16.csv: UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 base_utf16.csv"),
        ("blank_in_header.csv", "has no column 'shop'; there are bought, ' shop', device, spend, hour; ' shop' diff"),
        ("name_twice.parquet", "name_twice.parquet: the file names column 'shop' twice; give one of them another name"),
    ],
)
def test_files_that_are_refused(cases, tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        RawReader(*_schema(tmp_path), [cases / name])


def test_a_struct(cases, tmp_path):
    place = {"name": "place", "kind": "categorical"}
    with pytest.raises(UserError, match="column place is of type struct<land: string, zone: int64>, which has no"):
        list(RawReader(*_schema(tmp_path, fields=(place,)), [cases / "struct.parquet"]))
    rows, _ = rows_of(RawReader(*_schema(tmp_path), [cases / "struct.parquet"]))
    assert len(rows) == 1500
