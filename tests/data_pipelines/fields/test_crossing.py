"""Crosses: their texts and rows by hand."""

import json

import numpy as np
import polars as pl
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.crossing import crossed_levels
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.hashing import field_key
from data_pipelines.fields.readings import UNREADABLE, Reading
from data_pipelines.fields.schema import Field, Schema
from data_pipelines.fields.text_hashes import text_hashes
from data_pipelines.fields.vocabulary import Vocabularies

FORMAT = RawFormat("tiny", "label")
INPUTS = (
    Input("a", "a", reading=Reading(("NA",))),
    Input("n", "n", "equal_frequency", bins=2),
    Input("b", "a"),
    Input("a x n", "", "hashed", buckets=1000, crossed=("a", "n")),
    Input("all", "", "hashed", buckets=1000, crossed=("n", "b", "a")),
)
COLUMNS = {"a": ["x", "1.0", "é", "NA", "NA", "x", "x"], "n": ["1", "9", "1", "2.5", "", "1", "what"]}


def test_texts_tell_lists_of_levels_apart():
    inputs = (Input("a", "a"), Input("b", "b"))
    rows = [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("a1:b", ""), ("a", "bc"), ("", "")]
    texts, code = crossed_levels(coded({"a": [a for a, _ in rows], "b": [b for _, b in rows]}), inputs)
    expected = ["1:a2:bc", "2:ab1:c", "0:3:abc", "3:abc0:", "4:a1:b0:", "1:a2:bc", ""]
    assert texts.gather(code).to_list() == expected and len(texts) == 6
    assert len(crossed_levels(coded({"a": [], "b": []}), inputs)[0]) == 0


def test_rows_by_hand_with_bins_missing_and_unreadable_levels(tmp_path):
    levels = {"a": pl.Series(["x"]), "n": pl.Series(["bin:0", "bin:1", ""]), "b": pl.Series(["x"])}
    found = Vocabularies.from_levels(FORMAT, INPUTS, levels, {"n": (2.0,)}, seed=3)
    fields, batch = found.schema.fields, coded(COLUMNS)
    assert [(one.size, one.offset) for one in fields] == [(2, 0), (4, 2), (2, 6), (1002, 8), (1002, 1010)]
    assert found.schema.columns == ("a", "n")

    def row(position, text):
        hashed = text_hashes(pl.Series([text]), field_key(fields[position].name, 3))[0]
        return fields[position].offset + 2 + int(hashed) % 1000

    # Levels that no vocabulary has take part. A missing level is one more level, until all are missing.
    texts = ["1:x5:bin:0", "1:15:bin:1", "2:é5:bin:0", "0:5:bin:1", "", "1:x5:bin:0", None]
    expected = [9 if text == "" else 8 if text is None else row(3, text) for text in texts]
    ids = found.encode(batch)
    assert ids[:, 3].tolist() == expected
    assert ids[:, 4].tolist()[:5] == [row(4, t) for t in (
        "5:bin:01:x1:x", "5:bin:11:11:1", "5:bin:02:é2:é", "5:bin:12:NA0:", "0:2:NA0:"
    )]  # fmt: skip
    found.save(tmp_path)
    schema = Schema.from_json(json.loads(json.dumps(found.schema.to_json())))
    np.testing.assert_array_equal(Vocabularies.load(tmp_path, schema).encode(batch), ids)
    texts, code = crossed_levels(batch, schema.parts(fields[3]))
    assert texts[int(code[6])] == UNREADABLE


@pytest.mark.parametrize("first", [{"separator": "|"}, {"transform": "value", "parameters": (0, 1)}, {"name": "b"}])
def test_a_schema_that_crosses_what_it_cannot_is_refused(first):
    one = Field(**{"name": "a", "transform": "text", "size": 2, "offset": 0} | first)
    cross = Field("c", "hashed", 12, 4, buckets=10, key=(1, 2), crossed=("a", "d"))
    with pytest.raises(UserError, match="field c: a cross should be of fields of one level a row, got a, d; prepare"):
        Schema(FORMAT, (one, Field("d", "text", 2, 2), cross))


def test_a_cross_of_many_fields_does_not_overflow():
    rng = np.random.default_rng(0)
    columns = {f"c{i}": [str(v) for v in rng.integers(0, 5000, 6000)] for i in range(7)}
    texts, code = crossed_levels(coded(columns), [Input(name, name) for name in columns])
    rows = zip(*columns.values(), strict=True)
    assert texts.gather(code).to_list() == ["".join(f"{len(t)}:{t}" for t in row) for row in rows]
