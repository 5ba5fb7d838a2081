import polars as pl
import pytest

from data_pipelines.errors import DataError
from data_pipelines.schema import Schema
from data_pipelines.vocabulary import LevelCounter, Vocabularies, vocabulary_path

TRANSFORMS = {"C": "text", "I": "log_square"}
FRAME = pl.DataFrame(
    {
        "C": ["b", "a", "b", "a", "", "", "rare", "x\ny", "x\ny", "c"],
        "I": ["3", "4", "", "1", "1", "-1", "", "100", "100", "3"],
    }
)


def _vocabularies(min_count=2, chunks=1):
    counter = LevelCounter(TRANSFORMS)
    for part in FRAME.iter_slices(FRAME.height // chunks):
        counter.add(part)
    levels = {name: counter.frequent_levels(name, min_count) for name in TRANSFORMS}
    return Vocabularies.from_levels("tiny", "label", TRANSFORMS, levels)


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
    assert vocabularies.encode(pl.DataFrame({"C": [""], "I": [""]})).tolist() == [[0, 1]]


def test_ids_are_rows_of_the_fused_table():
    ids = _vocabularies().encode(FRAME)
    assert ids.dtype == "int32" and ids.flags.c_contiguous
    # C: out of vocabulary 0, "" 1, a 2, b 3. I: out of vocabulary 4, log:1 5, "" 6, =1 7, log:21 8.
    assert ids[:, 0].tolist() == [3, 2, 3, 2, 1, 1, 0, 0, 0, 0]
    assert ids[:, 1].tolist() == [5, 5, 6, 7, 7, 4, 6, 8, 8, 5]
    unseen = pl.DataFrame({"C": ["zz", "a "], "I": ["99999", "-7"]})
    assert _vocabularies().encode(unseen).tolist() == [[0, 4], [0, 4]]
    assert _vocabularies().encode(FRAME.clear()).shape == (0, 2)


def test_a_field_without_levels_is_all_out_of_vocabulary():
    assert (_vocabularies(min_count=99).encode(FRAME) == [0, 1]).all()


def test_save_and_load(tmp_path):
    vocabularies = _vocabularies()
    sizes = vocabularies.save(tmp_path)
    assert vocabulary_path(tmp_path, "C").read_bytes() == b"\na\nb\n" and sizes["C"] == 5
    loaded = Vocabularies.load(tmp_path, vocabularies.schema)
    assert (loaded.encode(FRAME) == vocabularies.encode(FRAME)).all()


def test_odd_levels_survive_the_file(tmp_path):
    texts = ["é", " a ", "\x85", "\u2028", '"q', "a\tb", "\ufeff"]
    levels = {"C": pl.Series(texts)}
    vocabularies = Vocabularies.from_levels("tiny", "label", {"C": "text"}, levels)
    vocabularies.save(tmp_path)
    assert Vocabularies.load(tmp_path, vocabularies.schema).levels["C"].to_list() == texts


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\na\n", "2 levels, but the schema has 3"),
        (b"\na\na\n", "listed twice"),
        (b"\na\nb", "last line is cut off"),
        (b"\na\n\xff\n", "not valid UTF-8"),
        (None, "not found"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    vocabularies = _vocabularies()
    vocabularies.save(tmp_path)
    path = vocabulary_path(tmp_path, "C")
    path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(DataError, match=f"C.txt.*{message}"):
        Vocabularies.load(tmp_path, vocabularies.schema)


def test_levels_must_match_the_schema():
    with pytest.raises(DataError, match="field C: 1 levels"):
        Vocabularies(Schema("tiny", "label", _vocabularies().schema.fields[:1]), {"C": pl.Series(["a"])})
