"""Hashed fields: rows by hand, keys, and what a schema file must hold."""

import json

import numpy as np
import polars as pl
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.hashing import estimated_values, field_key, hashed_rows, shared_share
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.fields.text_hashes import text_hashes
from data_pipelines.fields.vocabulary import Vocabularies

FORMAT = RawFormat("tiny", "label")


def _prepared(inputs, columns, directory):
    directory.mkdir(exist_ok=True)
    counter = LevelCounter(inputs, directory, 1 << 20)
    batch = coded(columns)
    counter.add(batch, np.ones(batch.num_rows, bool))
    return Vocabularies.from_counts(FORMAT, inputs, counter, 1, {}, seed=3), batch


def test_a_bucket_is_the_hash_of_the_canonical_text_and_missing_has_a_row_of_its_own(tmp_path):
    inputs = (
        Input("before", "a"),
        Input("ad", "a", "hashed", buckets=10),
        Input("tags", "b", "hashed", separator="|", max_values=2, buckets=5),
        Input("after", "a"),
    )
    columns = {"a": ["x", "100.0", "", "100", "line\nend"], "b": ["u|v|w", "", "|", "v", "u|u"]}
    found, batch = _prepared(inputs, columns, tmp_path)
    # before: unknown, "100", "", "x" (a level has no line end); ad: 12 rows; tags: 7; after: as before.
    fields = found.schema.fields
    assert [(one.size, one.offset, one.width) for one in fields] == [(4, 0, 1), (12, 4, 1), (7, 16, 2), (4, 23, 1)]
    assert [len(found.levels[one.name]) for one in fields] == [3, 0, 0, 3]

    def bucket(name, text, buckets):
        return int(text_hashes(pl.Series([text]), field_key(name, 3))[0]) % buckets

    ids = found.encode(batch)
    assert ids[:, 1].tolist() == [4 + 2 + bucket("ad", t, 10) if t else 5 for t in ("x", "100", "", "100", "line\nend")]
    u, v = (16 + 2 + bucket("tags", text, 5) for text in "uv")
    assert ids[:, 2:4].tolist() == [[u, v], [17, PADDING], [17, PADDING], [v, PADDING], [u, u]]
    assert ids[:, 4].tolist() == [26, 24, 25, 24, 23]
    assert [fields[1].level_text(i, None) for i in (1, 2, 11)] == ["", "bucket 0", "bucket 9"]


def test_it_reads_back_and_each_field_and_seed_has_its_own_hash(tmp_path):
    inputs = (Input("a", "a", "hashed", buckets=1000), Input("b", "a", "hashed", buckets=1000))
    found, batch = _prepared(inputs, {"a": [str(i) for i in range(200)]}, tmp_path / "counts")
    found.save(tmp_path)
    schema = Schema.from_json(json.loads(json.dumps(found.schema.to_json())))
    assert schema == found.schema
    ids = Vocabularies.load(tmp_path, schema).encode(batch)
    np.testing.assert_array_equal(ids, found.encode(batch))
    other = Vocabularies.from_levels(FORMAT, inputs, {}, seed=4).encode(batch)
    for one, two in ((ids[:, 0], ids[:, 1] - 1002), (ids[:, 0], other[:, 0])):
        assert (one == two).mean() < 0.05 and len(np.unique(one)) > 150


def test_buckets_are_filled_evenly():
    rows = hashed_rows(pl.Series([str(i) for i in range(100_000)]), 100, field_key("a", 0))
    counts = np.bincount(rows - 2, minlength=100)
    # Chi-square with 99 degrees of freedom: 99 +- 14.
    assert 50 < ((counts - 1000) ** 2 / 1000).sum() < 160


def test_shares_of_values_that_collide():
    assert shared_share(1, 10) == 0 and shared_share(2, 10) == pytest.approx(0.1)
    assert shared_share(3, 4) == pytest.approx(1 - 0.75**2)
    rows = hashed_rows(pl.Series([str(i) for i in range(3000)]), 2000, field_key("a", 0))
    values, counts = np.unique(rows, return_counts=True)
    assert estimated_values(len(values), 2000) == pytest.approx(3000, rel=0.05)
    assert shared_share(3000, 2000) == pytest.approx(counts[counts > 1].sum() / 3000, abs=0.03)
    assert np.isfinite(estimated_values(2000, 2000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"buckets": 1}, "field a: buckets should be 2 to 1,073,741,824 for a hashed field .*, got 1"),
        ({"buckets": 0}, "field a: buckets should be 2 .*, got 0"),
        ({"buckets": 2**30 + 1}, "field a: buckets should be .*, got 1073741825"),
        ({"transform": "text", "buckets": 5}, "and not be given otherwise, got 5"),
    ],
)
def test_buckets_out_of_range_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Input("a", "a", **{"transform": "hashed"} | arguments)


@pytest.mark.parametrize(
    ("size", "buckets", "key"), [(11, 10, (1, 2)), (12, 10, (1,)), (12, 10, (1, 2**63)), (12, 0, ())]
)
def test_a_schema_whose_hash_is_not_whole_is_refused(size, buckets, key):
    with pytest.raises(UserError, match="field a: a hashed field should have a key of two words and 2 rows more"):
        Schema(FORMAT, (Field("a", "hashed", size, 0, buckets=buckets, key=key),))
