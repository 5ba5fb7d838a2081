"""Kinds of fields that are not a vocabulary of their own, from a table through training to served scores."""

import json

import keras
import numpy as np
import polars as pl
import pytest
from odd_texts import ODD
from served_rows import serve

from ada_ensemble_tf.configs.defaults import config_for
from ada_ensemble_tf.inference.raw_scores import score_raw
from ada_ensemble_tf.trained.workdir import Workdir
from ada_ensemble_tf.training.run import train
from ada_ensemble_tf.training.setup import build_model
from data_pipelines.doctor.prepared import examine_prepared
from data_pipelines.doctor.raw import examine_raw
from data_pipelines.errors import UserError
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

FIELDS = [
    {"name": "user", "kind": "hashed", "buckets": 512},
    {"name": "tags", "kind": "hashed", "buckets": 8, "separator": "|", "max_values": 3, "trim": True},
    {"name": "color", "kind": "categorical"},
    {"name": "colors", "kind": "multi_valued", "max_values": 2, "shared_with": "color"},
    {"name": "friend", "kind": "hashed", "shared_with": "user"},
    {"name": "place", "kind": "numeric", "bins": "equal_frequency", "count": 4},
    {"name": "item", "kind": "categorical", "vectors": "items.parquet", "frozen": True},
    {"name": "items", "kind": "multi_valued", "shared_with": "item"},
    {"name": "number", "kind": "categorical", "vectors": "numbers.npy"},
    {"name": "color x place", "kind": "cross", "fields": ["color", "place"], "buckets": 60},
    {"name": "color x friend", "kind": "cross", "fields": ["color", "friend"], "buckets": 2000},
]
SCHEMA = {"label": "y", "fields": FIELDS}
VECTORS = np.random.default_rng(3).normal(0, 0.1, (30, 4)).astype(np.float32)
"""Of items i0 to i29 and of numbers 0 to 4."""


def _rows(count: int, seed: int) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 200, count)
    color = rng.choice(["red", "blue", ""], count)
    tags = ["| ".join(f"t{i}" for i in rng.integers(0, 30, n)) for n in rng.integers(0, 4, count)]
    y = rng.random(count) < 0.05 + 0.8 * (user % 4 == 0) + 0.1 * (color == "red")
    columns = {"user": [f"u{i}" if i else "" for i in user], "tags": tags, "color": list(color)}
    columns |= {"colors": ["|".join(rng.choice(["red", "blue"], n)) for n in rng.integers(0, 4, count)]}
    columns |= {"friend": [f"u{i}" for i in rng.integers(1, 200, count)], "place": [*map(str, rng.random(count))]}
    columns |= {"item": [f"i{i}" for i in rng.integers(0, 40, count)]}
    columns |= {"items": ["|".join(f"i{i}" for i in rng.integers(0, 40, n)) for n in rng.integers(0, 3, count)]}
    columns |= {"number": [*map(str, rng.integers(0, 9, count))]}
    return columns | {"y": [*map(str, y * 1)]}


def _write(path, columns):
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder with table.csv, prepared data "data" and working directory "run", results of the training)."""
    folder = tmp_path_factory.mktemp("kinds")
    raw = _write(folder / "table.csv", _rows(2500, seed=1))
    items = pl.DataFrame({"id": [f"i{i}" for i in range(30)], "vector": VECTORS.tolist()})
    items.write_parquet(folder / "items.parquet")
    np.save(folder / "numbers.npy", VECTORS[:5])
    schema = parse_schema(SCHEMA, str(folder / "s.json"))
    build(Options(*schema, min_count=2), [raw], folder / "data", show=lambda _: None)
    config = config_for("factorization_machine")
    config.update({"batch_size": 64, "eval_batch_size": 500, "max_epochs": 6.0, "eval_every": 100})
    config.model.update({"dimension": 4})
    config.embedding_optimizer.learning_rate = 0.05
    return folder, train(config, open_data(folder / "data"), folder / "run")


def test_a_model_of_these_fields_learns(trained):
    _, results = trained
    # Three quarters of the users differ from the rest only by their ids, which are hashed.
    assert results["test"]["auc"] > 0.7


def test_vectors_are_the_first_rows_and_frozen_ones_stay(trained):
    folder, _ = trained
    data, config = open_data(folder / "data"), config_for("factorization_machine")
    config.model.update({"dimension": 4})
    start, end = build_model(config, data).embedding.table.numpy(), Workdir(folder / "run").load_model()
    vocabulary = Vocabularies.load(data.path, data.schema)
    fields = {field.name: field for field in data.schema.fields}
    assert fields["items"].offset == fields["item"].offset and data.schema.frozen_rows == (4, 30)
    for name, ids in (("item", [f"i{i}" for i in range(30)]), ("number", [*map(str, range(5))])):
        levels = vocabulary.levels[name].to_list()
        rows = [fields[name].offset + 1 + levels.index(one) for one in ids]
        np.testing.assert_array_equal(start[rows], VECTORS[: len(rows)])
        stays = (end.embedding.table.numpy()[rows] == start[rows]).all(axis=1)
        assert stays.all() if name == "item" else not stays.any()
        assert (end.level_weights.table.numpy()[rows] != 0).any()
    # The others of the field start at random and learn.
    other = fields["item"].offset + 1 + vocabulary.levels["item"].to_list().index("i39")
    assert np.abs(start[other]).max() < 0.1 and (end.embedding.table.numpy()[other] != start[other]).any()


def test_what_does_not_fit_the_vectors_is_one_line(trained, tmp_path):
    data, config = open_data(trained[0] / "data"), config_for("factorization_machine")
    config.model.update({"dimension": 5})
    with pytest.raises(UserError, match="vectors/item.npy: field item: its vectors have 4 numbers, but factorization_"):
        build_model(config, data)
    config.model.update({"dimension": 4})
    config.embedding_optimizer.update({"name": "group_ftrl", "keep_initial": False})
    with pytest.raises(UserError, match="config.embedding_optimizer.keep_initial=False: the first update of a row"):
        train(config, data, tmp_path / "run")
    with pytest.raises(ValueError, match="frozen rows of an embedding need an embedding_optimizer that updates only"):
        build_model(config, data).compile(
            embedding_optimizer=keras.optimizers.AdamW(), weight_optimizer=keras.optimizers.Adam()
        )


def test_predict_and_the_served_model_score_odd_rows_alike(trained, tmp_path):
    folder, _ = trained
    schema = open_data(folder / "data").schema
    texts = [text for text in ODD if "\r" not in text and "\0" not in text]
    plain = {name: column for name, column in _rows(len(texts), seed=2).items() if name != "y"}
    # Text among numbers would be a bad row.
    odd = dict.fromkeys(plain, texts) | {"place": ["", *plain["place"][1:]]}
    rows = {name: [*odd[name], *column] for name, column in plain.items()}
    score_raw(Workdir(folder / "run").load_model(), schema, folder / "run", [_write(tmp_path / "odd.csv", rows)],
              tmp_path / "ctr.csv", 64)  # fmt: skip
    scores = pl.read_csv(tmp_path / "ctr.csv")["ctr"].to_numpy()
    vocabularies = Vocabularies.load(folder / "run", schema)
    model = Workdir(folder / "run").load_model()
    served = serve(model, vocabularies, folder / "run", tmp_path / "export", columns=rows)
    feed = {name: np.array([text.encode() for text in column], object) for name, column in rows.items()}
    got = served.session("serving_default", feed)["ctr"]
    np.testing.assert_allclose(got, scores, rtol=1e-5)
    assert len(scores) == 2 * len(texts) and len(np.unique(scores)) > 150


def test_the_doctor_knows_buckets(trained):
    folder, _ = trained
    report = examine_prepared(folder / "data", show=lambda _: None)
    # All 8 buckets are full, which happens with 30 tags; 200 users are few among 512.
    (found,) = [one for one in report.findings if one.kind == "collisions"]
    assert (found.severity, found.field) == ("warning", "tags") and found.value > 0.8
    assert [one for one in report.findings if one.severity == "error"] == []
    assert "field item: 30 of 41 levels start from vectors of 4 numbers, which stay" in report.to_text()
    user, tags, *_ = json.loads(report.to_json())["fields"]
    assert (user["levels"], user["transform"]) == (514, "hashed") and user["top_level"].startswith("bucket ")
    column = pl.read_csv(folder / "table.csv", infer_schema_length=0).fill_null("")["user"]
    shares = [user["missing"][split] * rows for split, rows in open_data(folder / "data").rows.items()]
    assert sum(shares) == pytest.approx((column == "").sum())
    assert set(tags["out_of_vocabulary"].values()) == {0}
    raw = examine_raw(*parse_schema(SCHEMA, str(folder / "s.json")), [folder / "table.csv"])
    (found,) = [one for one in raw.findings if one.kind == "collisions"]
    # 30 tags and the missing one.
    assert (found.field, found.value) == ("tags", pytest.approx(1 - (7 / 8) ** 30))
    elsewhere = examine_raw(*parse_schema(SCHEMA, "no_folder/s.json"), [folder / "table.csv"])
    assert "no_folder/items.parquet: field item: file not found" in elsewhere.findings[0].message
