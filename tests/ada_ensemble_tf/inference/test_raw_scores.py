import json
import os
import threading

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ada_ensemble_tf.inference.raw_scores import encoded, score_raw
from ada_ensemble_tf.models import LogisticRegression, model_inputs
from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.schema import Schema
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats import make_format
from data_pipelines.prepare.build import build
from data_pipelines.read.preparation import Options

ROWS = 500
FIELDS = [
    {"name": "user", "kind": "categorical"},
    {"name": "price", "kind": "numeric", "bins": "none", "scale": "log"},
    {"name": "genres", "kind": "multi_valued", "max_values": 3},
]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Made-up rows of a table with a float and a multi-valued field."""
    rng = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "click": rng.integers(0, 2, ROWS).astype(str),
            "user": rng.integers(0, 9, ROWS).astype(str),
            "price": np.where(rng.random(ROWS) < 0.2, "", np.round(rng.lognormal(3, 2, ROWS), 2).astype(str)),
            "genres": ["|".join(rng.choice(["a", "b", "c", "d"], rng.integers(0, 6))) for _ in range(ROWS)],
        }
    )


@pytest.mark.parametrize("batch_size", [7, 500, 10_000])
@pytest.mark.parametrize("with_label", [True, False])
def test_scores_of_raw_rows_with_values_and_lists(table, tmp_path, batch_size, with_label):
    table.write_csv(tmp_path / "train.csv")
    (tmp_path / "fields.json").write_text(json.dumps({"label": "click", "fields": FIELDS}))
    options = Options(*make_format("tabular", schema_file=tmp_path / "fields.json"), min_count=1)
    build(options, [tmp_path / "train.csv"], tmp_path / "data", show=lambda line: None)
    schema = Schema.load(tmp_path / "data" / "schema.json")
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(tf.random.stateless_normal([schema.num_rows, 1], [1, 2]))
    table.select(table.columns[not with_label :]).write_csv(tmp_path / "raw.csv")
    raw, out = [str(tmp_path / "raw.csv")], tmp_path / "ctr.csv"
    assert score_raw(model, schema, tmp_path / "data", raw, out, batch_size) == ROWS
    vocabularies = Vocabularies.load(tmp_path / "data", schema)
    inputs = encoded(vocabularies, coded({name: table[name] for name in schema.columns}))
    assert inputs["ids"].shape == (ROWS, 5) and (inputs["ids"] == -1).any() and inputs["values"].std() > 0.5
    np.testing.assert_allclose(pl.read_csv(out)["ctr"], model(tf.nest.map_structure(tf.constant, inputs)), atol=1e-6)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Scores rows of two shops, or of others that are given, with a model of these two: by (output, shops)."""
    folder = tmp_path_factory.mktemp("shops")
    (folder / "raw.csv").write_text("click,shop\n" + "".join(f"{i % 3 % 2},shop {i % 2}\n" for i in range(120)))
    (folder / "fields.json").write_text(
        json.dumps({"label": "click", "fields": [{"name": "shop", "kind": "categorical"}]})
    )
    options = Options(*make_format("tabular", schema_file=folder / "fields.json"), min_count=1)
    build(options, [folder / "raw.csv"], folder / "data", show=lambda line: None)
    schema = Schema.load(folder / "data" / "schema.json")
    model = LogisticRegression(**model_inputs(schema))

    def score(out, shops=("shop 0", "shop 1")) -> int:
        (folder / "new.csv").write_text("shop\n" + "".join(f"{shop}\n" for shop in shops * 20))
        return score_raw(model, schema, folder / "data", [folder / "new.csv"], out, 64)

    return score


def test_scores_go_through_links_and_pipes(scored, tmp_path):
    assert scored(tmp_path / "file") == 40
    expected, read = (tmp_path / "file").read_text(), []
    assert len(expected.splitlines()) == 41
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    scored(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == expected
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    scored(tmp_path / "pipe")
    reader.join()
    assert read == [expected] and (tmp_path / "pipe").is_fifo()


def test_a_field_that_became_unknown_is_told(scored, tmp_path, caplog):
    scored(tmp_path / "ctr.csv")
    assert not caplog.records
    scored(tmp_path / "ctr.csv", shops=("SHOP 0", "SHOP 1"))
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("field shop: 100.0 % of its 40 values are out of vocabulary, not so in training")


@pytest.fixture(scope="module")
def keyed(table, tmp_path_factory):
    """(model, schema, data directory, raw file): the table with two more columns, its own in another order."""
    folder = tmp_path_factory.mktemp("keyed")
    table.write_csv(folder / "train.csv")
    (folder / "fields.json").write_text(json.dumps({"label": "click", "fields": FIELDS}))
    options = Options(*make_format("tabular", schema_file=folder / "fields.json"), min_count=1)
    build(options, [folder / "train.csv"], folder / "data", show=lambda line: None)
    schema = Schema.load(folder / "data" / "schema.json")
    model = LogisticRegression(**model_inputs(schema))
    model.level_weights.table.assign(tf.random.stateless_normal([schema.num_rows, 1], [1, 2]))
    keys = [f'row "{i}", {i % 7}' for i in range(ROWS)]
    shuffled = table.select("genres", pl.Series("key", keys), "click", pl.lit("x").alias("more"), "price", "user")
    shuffled.write_csv(folder / "raw.csv")
    return model, schema, folder / "data", folder / "raw.csv"


def test_kept_columns_stand_beside_the_scores_in_every_form(table, keyed, tmp_path):
    model, schema, data_dir, raw = keyed
    read = {".csv": pl.read_csv, ".csv.gz": pl.read_csv, ".parquet": pl.read_parquet}
    found = {}
    for ending, reader in read.items():
        out = tmp_path / f"scores{ending}"
        assert score_raw(model, schema, data_dir, [raw], out, 64, keep=["key", "click"]) == ROWS
        found[ending] = reader(out).with_columns(pl.col("click").cast(pl.String), pl.col("ctr").cast(pl.Float64))
        assert found[ending].columns == ["key", "click", "ctr"]
        assert found[ending]["key"].to_list() == [f'row "{i}", {i % 7}' for i in range(ROWS)]
        assert found[ending]["click"].to_list() == table["click"].to_list()
    inputs = encoded(Vocabularies.load(data_dir, schema), coded({name: table[name] for name in schema.columns}))
    expected = model(tf.nest.map_structure(tf.constant, inputs))
    for scores in found.values():
        np.testing.assert_allclose(scores["ctr"], expected, atol=1e-6)
    assert (tmp_path / "scores.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"scores{ending}" for ending in read]


@pytest.mark.parametrize(
    ("keep", "out", "message"),
    [
        (["key", "key"], "o.csv", "--keep=key,key: 'key' is named twice; name each column once"),
        (["ctr"], "o.csv", "--keep=ctr: a column of the output has this name; rename it in the raw file"),
        (["kye"], "o.csv", r"raw.csv:1: the header has no column 'kye'; there are genres, key, click, more"),
        ([], "o.parquet.gz", "--out=.*o.parquet.gz: Parquet files compress their columns themselves; end the name"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(keyed, tmp_path, keep, out, message):
    model, schema, data_dir, raw = keyed
    with pytest.raises(UserError, match=message) as caught:
        score_raw(model, schema, data_dir, [raw], tmp_path / out, 64, keep=keep)
    assert "\n" not in str(caught.value) and not any(tmp_path.iterdir())
