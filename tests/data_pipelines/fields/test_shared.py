"""Fields that share one vocabulary and one set of rows."""

import json

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.schema import PADDING, Field, Schema
from data_pipelines.fields.vocabulary import Vocabularies

FORMAT = RawFormat("tiny", "label")
INPUTS = (
    Input("before", "h", separator="|", max_values=2, shared_with="ad"),
    Input("word", "w"),
    Input("ad", "a"),
    Input("again", "a", shared_with="ad"),
)


@pytest.mark.parametrize("bytes_in_memory", [1 << 20, 1])
def test_counts_are_summed_and_equal_text_has_one_id(tmp_path, bytes_in_memory):
    columns = {"h": ["x|y|x", "", "z"], "w": ["x", "x", "x"], "a": ["y", "", "u"]}
    (tmp_path / "counts").mkdir()
    counter = LevelCounter(INPUTS, tmp_path / "counts", bytes_in_memory)
    for start in (0, 1):
        batch = coded({name: texts[start::2] for name, texts in columns.items()})
        counter.add(batch, np.ones(batch.num_rows, bool))
    found = Vocabularies.from_counts(FORMAT, INPUTS, counter, 2, {}, seed=3)
    # "ad" and "again" read one column: y 1 + 1 + 1, "" 1 + 1 + 1, u 2, x 2 of the list alone; z once.
    assert [found.levels[one.name].to_list() for one in INPUTS] == [
        ["", "y", "u", "x"],
        ["x"],
        *[["", "y", "u", "x"]] * 2,
    ]
    places = [(one.size, one.offset, one.width) for one in found.schema.fields]
    assert places == [(5, 2, 2), (2, 0, 1), (5, 2, 1), (5, 2, 1)] and found.schema.num_rows == 7
    ids = found.encode(coded(columns))
    assert ids.tolist() == [[6, 4, 1, 4, 4], [3, PADDING, 1, 3, 3], [2, PADDING, 1, 5, 5]]
    found.save(tmp_path)
    assert sorted(path.name for path in (tmp_path / "vocabulary").iterdir()) == ["ad.txt", "word.txt"]
    schema = Schema.from_json(json.loads(json.dumps(found.schema.to_json())))
    assert (Vocabularies.load(tmp_path, schema).encode(coded(columns)) == ids).all()


def test_hashed_fields_share_their_hash():
    inputs = (Input("a", "a", "hashed", buckets=99), Input("b", "b", "hashed", buckets=99, shared_with="a"))
    columns = {"a": ["x", "", "y"], "b": ["x", "", "z"]}
    ids = Vocabularies.from_levels(FORMAT, inputs, {}).encode(coded(columns))
    assert (ids[:2, 0] == ids[:2, 1]).all() and ids[2, 0] != ids[2, 1] and ids.max() < 101


@pytest.mark.parametrize("changed", [{"size": 4}, {"offset": 1}, {"shared_with": "c"}, {"transform": "os_browser"}])
def test_a_schema_that_does_not_share_all_is_refused(changed):
    first = Field("a", "text", 3, 0)
    with pytest.raises(
        UserError, match="field b: its transform, size, offset, buckets, key should be those of field '"
    ):
        Schema(
            FORMAT, (first, Field("b", **{"transform": "text", "size": 3, "offset": 0, "shared_with": "a"} | changed))
        )
