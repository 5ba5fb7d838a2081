import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ada_ensemble_tf.serving.encoder import RawEncoder
from data_pipelines.build import build
from data_pipelines.criteo import FORMAT
from data_pipelines.preparation import Options
from data_pipelines.raw import read_raw
from data_pipelines.schema import Schema
from data_pipelines.vocabulary import Vocabularies


def graph_ids(data_dir, frame: pl.DataFrame) -> np.ndarray:
    """Ids that the exported graph gives to raw rows."""
    schema = Schema.load(data_dir / "schema.json")
    encode = tf.function(RawEncoder(schema, data_dir))
    return encode({field.name: tf.constant(frame[field.name].to_list()) for field in schema.fields}).numpy()


def prepared_ids(data_dir, frame: pl.DataFrame) -> np.ndarray:
    """Ids that preparation gives to the same rows."""
    return Vocabularies.load(data_dir, Schema.load(data_dir / "schema.json")).encode(frame)


def test_agrees_with_preparation_on_every_row_of_the_real_slice(shared_data, tmp_path):
    raw = shared_data / "criteo" / "train.txt"
    build(Options("criteo", min_count=2), [raw], tmp_path / "data", show=lambda line: None)
    frame = pl.concat([chunk.frame for chunk in read_raw(FORMAT, [raw])])
    ids = graph_ids(tmp_path / "data", frame)
    assert ids.shape == (10_000, 39) and ids.dtype == np.int32
    np.testing.assert_array_equal(ids, prepared_ids(tmp_path / "data", frame))


@pytest.mark.parametrize("numeric_bins", ["log_square", "log_of_square"])
def test_agrees_with_preparation_on_odd_values(criteo_raw_file, numeric_bins, tmp_path):
    options = Options("criteo", min_count=1, numeric_bins=numeric_bins)
    build(options, [criteo_raw_file], tmp_path / "data", show=lambda line: None)
    largest = 2**63 - 1
    edges = [0, 1, 2, 3, 4, 5, 10, 22, 23, 1096, 1097, 8103, 8104, 10**9 - 1, 10**9, 10**18, largest - 1, largest]
    numbers = ["", *(str(sign * edge) for edge in edges for sign in (1, -1)), str(-largest - 1), "007", "-00", "000"]
    words = ["", " ", "ünïcode", "日本語", "x" * 10_000, "a\tb", 'say "hi"', "\x7f", "nan", "=1", "log:3", "-1"]
    rows = len(numbers)
    seen = pl.concat([chunk.frame for chunk in read_raw(FORMAT, [criteo_raw_file])]).head(rows)
    frame = pl.DataFrame(
        {f"I{i}": np.roll(numbers, i).tolist() for i in range(1, 14)}
        # Half of the rows keep a level that is known.
        | {f"C{i}": [words[j % len(words)] if j % 2 else seen[f"C{i}"][j] for j in range(rows)] for i in range(1, 27)}
    )
    ids = graph_ids(tmp_path / "data", frame)
    np.testing.assert_array_equal(ids, prepared_ids(tmp_path / "data", frame))
    assert len(np.unique(ids[:, 0])) > 5


def test_unreadable_numbers_and_unseen_levels_are_out_of_vocabulary(prepared_criteo):
    schema = Schema.load(prepared_criteo / "schema.json")
    odd = [
        "abc",
        "1.5",
        "1e3",
        "+5",
        " 7",
        "--3",
        "9223372036854775808",
        "-9223372036854775809",
        "1" * 40,
        "nan",
        "-",
        "１",
    ]
    columns = {
        field.name: odd if field.name.startswith("I") else [f"never seen {i}" for i in range(len(odd))]
        for field in schema.fields
    }
    ids = graph_ids(prepared_criteo, pl.DataFrame(columns))
    offsets = [field.offset for field in schema.fields]
    np.testing.assert_array_equal(ids, np.tile(offsets, (len(odd), 1)))
