import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_pipelines.checksums import Checksums
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.declarations import Input, RawFormat
from data_pipelines.fields.numeric import NumericSample
from data_pipelines.fields.schema import PADDING, Schema
from data_pipelines.fields.vocabulary import Vocabularies, vocabulary_path

FORMAT = RawFormat("tiny", "label", ("label", "C", "I"))
INPUTS = (Input("C", "C"), Input("I", "I", "log_square"))
FRAME = pl.DataFrame(
    {
        "C": ["b", "a", "b", "a", "", "", "rare", "x\ny", "x\ny", "c"],
        "I": ["3", "4", "", "1", "1", "-1", "", "100", "100", "3"],
    }
)


def _encode(vocabularies, frame):
    return vocabularies.encode(coded(frame.to_dict()))


def _vocabularies(min_count=2, chunks=1):
    with tempfile.TemporaryDirectory() as directory:
        counter = LevelCounter(INPUTS, Path(directory), 1 << 30)
        for part in FRAME.iter_slices(FRAME.height // chunks):
            counter.add(coded(part.to_dict()), np.ones(part.height, bool))
        return Vocabularies.from_counts(FORMAT, INPUTS, counter, min_count, {})


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_threshold_order_and_missing(chunks):
    vocabularies = _vocabularies(chunks=chunks)
    # By falling count, then by text; text with a line break is never a level, however frequent.
    assert vocabularies.levels["C"].to_list() == ["", "a", "b"]
    assert vocabularies.levels["I"].to_list() == ["log:1", "", "=1", "log:21"]
    sizes = [(field.name, field.size, field.offset) for field in vocabularies.schema.fields]
    assert sizes == [("C", 4, 0), ("I", 5, 4)]


def test_missing_below_the_threshold_is_out_of_vocabulary():
    vocabularies = _vocabularies(min_count=3)
    assert vocabularies.levels["I"].to_list() == ["log:1"]
    assert _encode(vocabularies, pl.DataFrame({"C": [""], "I": [""]})).tolist() == [[0, 1]]


def test_ids_are_rows_of_the_fused_table():
    ids = _encode(_vocabularies(), FRAME)
    assert ids.dtype == "int32" and ids.flags.c_contiguous
    # C: out of vocabulary 0, "" 1, a 2, b 3. I: out of vocabulary 4, log:1 5, "" 6, =1 7, log:21 8.
    assert ids[:, 0].tolist() == [3, 2, 3, 2, 1, 1, 0, 0, 0, 0]
    assert ids[:, 1].tolist() == [5, 5, 6, 7, 7, 4, 6, 8, 8, 5]
    unseen = pl.DataFrame({"C": ["zz", "a "], "I": ["99999", "-7"]})
    assert _encode(_vocabularies(), unseen).tolist() == [[0, 4], [0, 4]]
    assert _encode(_vocabularies(), FRAME.clear()).shape == (0, 2)


def test_a_field_without_levels_is_all_out_of_vocabulary():
    assert (_encode(_vocabularies(min_count=99), FRAME) == [0, 1]).all()


def test_save_and_load(tmp_path):
    vocabularies = _vocabularies()
    vocabularies.save(tmp_path)
    assert vocabulary_path(tmp_path, vocabularies.schema, "C").read_bytes() == b"\na\nb\n"
    loaded = Vocabularies.load(tmp_path, vocabularies.schema)
    assert (_encode(loaded, FRAME) == _encode(vocabularies, FRAME)).all()


def test_odd_levels_survive_the_file(tmp_path):
    texts = ["é", " a ", "\x85", "\u2028", '"q', "a\tb", "\ufeff"]
    levels = {"C": pl.Series(texts)}
    vocabularies = Vocabularies.from_levels(FORMAT, INPUTS[:1], levels)
    vocabularies.save(tmp_path)
    assert Vocabularies.load(tmp_path, vocabularies.schema).levels["C"].to_list() == texts


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\na\n", "2 levels, but the schema has 3"),
        (b"\na\na\n", "listed twice"),
        (b"\na\n100.0\n", "level .100.0. is of an earlier version"),
        (b"\na\nb", "last line is cut off"),
        (b"\na\n\xff\n", "not valid UTF-8"),
        (None, "file is missing"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    vocabularies = _vocabularies()
    vocabularies.save(tmp_path)
    path = vocabulary_path(tmp_path, vocabularies.schema, "C")
    path.write_bytes(content) if content is not None else path.unlink()
    if content is not None:
        Checksums(tmp_path).add([f"vocabulary/{path.name}"])
    with pytest.raises(UserError, match=f"C.txt.*{message}"):
        Vocabularies.load(tmp_path, vocabularies.schema)


def test_levels_must_match_the_schema():
    with pytest.raises(UserError, match="field C: 1 levels"):
        Vocabularies(Schema(FORMAT, _vocabularies().schema.fields[:1]), {"C": pl.Series(["a"])})


def test_multi_valued_and_numeric_fields():
    inputs = (
        Input("tags", "tags", separator="|", max_values=2),
        Input("n", "n", "equal_frequency", bins=2),
        Input("v", "n", "value"),
    )
    frame = pl.DataFrame({"tags": ["a|b", "b|c|a", "", "||b", "a"], "n": ["1", "2", "3", "", "nan"]})
    columns, chosen = coded(frame.to_dict()), np.ones(5, bool)
    with tempfile.TemporaryDirectory() as directory:
        counter, sample = LevelCounter(inputs, Path(directory), 1 << 30), NumericSample(inputs, seed=0)
        counter.add(columns, chosen)
        sample.add(columns, np.arange(5), chosen)
        vocabularies = Vocabularies.from_counts(FORMAT, inputs, counter, 1, sample.parameters())
    # Every occurrence counts: a 3, b 3, c 1, nothing 1. The longest list has three values; two of them are kept.
    assert vocabularies.levels["tags"].to_list() == ["a", "b", "", "c"]
    assert vocabularies.levels["n"].to_list() == ["bin:0", "bin:1", ""]
    assert vocabularies.levels["v"].to_list() == ["value", ""]
    assert vocabularies.schema.fields[1].parameters == (2.0,)
    assert vocabularies.schema.fields[2].parameters == (2.0, pytest.approx((2 / 3) ** 0.5))
    assert vocabularies.encode(columns).tolist() == [
        [1, 2, 6, 10],
        [2, 4, 7, 10],
        [3, PADDING, 7, 10],
        [2, PADDING, 8, 11],
        [1, PADDING, 8, 11],
    ]
    deviation = (2 / 3) ** 0.5
    np.testing.assert_allclose(vocabularies.values(columns)[:, 0], [-1 / deviation, 0, 1 / deviation, 0, 0], rtol=1e-6)


def test_widths_are_of_the_longest_list_of_the_training_rows():
    inputs = (Input("tags", "tags", separator=",", max_values=16),)
    with tempfile.TemporaryDirectory() as directory:
        counter = LevelCounter(inputs, Path(directory), 1 << 30)
        counter.add(coded({"tags": ["a,b", "a,b,c,d", "a"]}), np.array([True, False, True]))
        vocabularies = Vocabularies.from_counts(FORMAT, inputs, counter, 1, {})
    assert vocabularies.schema.widths == (2,)
    assert vocabularies.encode(coded({"tags": ["b,x,a", "y"]})).tolist() == [[2, 0], [0, PADDING]]
