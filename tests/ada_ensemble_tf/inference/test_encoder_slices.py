"""The graph's ids and values compared with preparation's, on every row of the real slices."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ada_ensemble_tf.inference.encoder import RawEncoder
from data_pipelines.fields.columns import texts
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.raw import RawReader
from data_pipelines.read.preparation import Options

FRAPPE = ("user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")
CATEGORICAL = [{"name": name, "kind": "categorical"} for name in FRAPPE]
NUMERIC = [
    {"name": "user", "kind": "numeric", "bins": "none"},
    {"name": "item", "kind": "numeric", "bins": "none", "scale": "log"},
    {"name": "city", "kind": "numeric", "bins": "equal_frequency", "count": 7},
    {"name": "digits", "column": "item", "kind": "multi_valued", "separator": "1", "max_values": 3},
    {"name": "bins", "column": "country", "kind": "numeric"},
]


def check_slice(raw: Path, rows: int, folder: Path, dataset: str, **options) -> Schema:
    """Compares all rows of a raw file, prepared in `folder`."""
    raw_format, inputs = make_format(dataset, **options)
    build(Options(raw_format, inputs, min_count=2), [raw], folder / "data", show=lambda line: None)
    schema = Schema.load(folder / "data" / "schema.json")
    vocabularies = Vocabularies.load(folder / "data", schema)
    chunks = [chunk.columns for chunk in RawReader(raw_format, inputs, [raw])]
    expected = np.concatenate([vocabularies.encode(columns) for columns in chunks])
    values = np.concatenate([vocabularies.values(columns) for columns in chunks])
    frame = pl.concat([texts(columns) for columns in chunks])
    encode = tf.function(RawEncoder(schema, folder / "data").__call__, autograph=False)
    got = encode({column: tf.constant(frame[column].to_list()) for column in schema.columns})
    assert isinstance(got, dict) == bool(schema.value_fields)
    ids = got["ids"] if schema.value_fields else got
    assert ids.shape == (rows, sum(schema.widths)) and ids.dtype == tf.int32
    np.testing.assert_array_equal(ids, expected)
    if schema.value_fields:
        np.testing.assert_allclose(got["values"], values, rtol=1e-6, atol=1e-6)
        assert (values.std(axis=0) > 0.1).all()
    return schema


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"numeric_bins": "log1p_of_square"},
        {"numeric_bins": "equal_frequency", "bin_count": 20},
        {"numeric": "value"},
    ],
)
def test_criteo(shared_data, tmp_path, options):
    schema = check_slice(shared_data / "criteo" / "train.txt", 10_000, tmp_path, "criteo", **options)
    assert schema.num_fields == 39
    assert len(schema.value_fields) == (13 if options.get("numeric") == "value" else 0)
    if options.get("numeric_bins") == "equal_frequency":
        # 20 bins, the missing value and the out-of-vocabulary row at most.
        assert 2 < max(field.size for field in schema.fields[:13]) <= 22


@pytest.mark.parametrize("with_hour, fields", [(False, 21), (True, 23)])
def test_avazu(shared_data, tmp_path, with_hour, fields):
    schema = check_slice(shared_data / "avazu" / "train.csv", 8_999, tmp_path, "avazu", with_hour=with_hour)
    assert schema.num_fields == fields


def test_ipinyou(shared_data, tmp_path):
    assert check_slice(shared_data / "ipinyou" / "train.log.txt", 26_773, tmp_path, "ipinyou").num_fields == 16


@pytest.mark.parametrize("fields", [CATEGORICAL, NUMERIC], ids=["categorical", "numeric"])
def test_frappe(shared_data, tmp_path, fields):
    file = tmp_path / "frappe.json"
    file.write_text(json.dumps({"label": "label", "file": {"format": "csv"}, "fields": fields}))
    raw = shared_data / "frappe" / "frappe.csv"
    schema = check_slice(raw, 57_722, tmp_path, "tabular", schema_file=file)
    assert [field.name for field in schema.fields] == [field["name"] for field in fields]
