"""A continued training on fields with given vectors."""

import numpy as np
import polars as pl
from daily_rows import ADS, SCHEMA, prepare_day, write_day
from daily_training import config_of, levels_of, loop_of, train_in

from ada_ensemble_tf.trained.checkpoint import SavedValues
from data_pipelines.fields.vectors import load_vectors
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema


def vector_schema(folder, seed):
    """(format, inputs) whose ads have vectors that stay and whose users have some that learn."""
    rng = np.random.default_rng(seed)
    for name, ids in (("ad", "abcdefg"), ("user", [f"u{i}" for i in range(0, 45, 2)])):
        vectors = rng.normal(0, 0.1, (len(ids), 2)).astype(np.float32).tolist()
        pl.DataFrame({"id": list(ids), "vector": vectors}).write_parquet(folder / f"{name}.parquet")
    more = {"ad": {"vectors": "ad.parquet", "frozen": True}, "user": {"vectors": "user.parquet"}}
    fields = [field | more.get(field["name"], {}) for field in SCHEMA["fields"]]
    return parse_schema({"label": "y", "fields": fields}, str(folder / "s.json"))


def test_fields_with_vectors_go_on_and_new_levels_begin_with_theirs(tmp_path):
    config = config_of("factorization_machine", max_steps=4)
    days = []
    for number in (0, 1):
        # The second day has vectors of its own, which frozen rows follow.
        schema = vector_schema(tmp_path, seed=number)
        raw = write_day(tmp_path / f"{number}.csv", ADS[number], rows=300, seed=number)
        old = days[0].path if days else None
        days.append(prepare_day(raw, tmp_path / f"data_{number}", old, schema=schema))
    train_in(tmp_path / "run", config, days[0])
    values = SavedValues(tmp_path / "run" / "checkpoints" / "last")
    before = values.value(values.by_path()["embedding.table"])
    loop = loop_of(tmp_path / "next", config, days[1], tmp_path / "run")
    table = loop.model.embedding.table.numpy()
    old, new = (levels_of(Vocabularies.load(day.path, day.schema)) for day in days)
    vectors = {}
    for field in days[1].schema.fields:
        if field.vector_width:
            vectors |= dict(zip(*map(list, load_vectors(days[1].path, days[1].schema, field)), strict=True))
    # u20 and later ones are of the second day alone; users with even numbers have vectors.
    seen = {"ad": set(), "user": set()}
    for row, (name, level) in enumerate(new):
        if row in vectors and (name == "ad" or (name, level) not in old):
            seen[name].add(level)
            np.testing.assert_array_equal(table[row], vectors[row])
        elif (name, level) in old:
            np.testing.assert_array_equal(table[row], before[old.index((name, level))])
    assert seen["ad"] == set("abcdef") and "u22" in seen["user"] and "u21" not in seen["user"]
    loop.run()
    end = loop.model.embedding.table.numpy()
    frozen = [row for row in vectors if new[row][0] == "ad"]
    learned = [row for row in vectors if new[row][0] == "user"]
    np.testing.assert_array_equal(end[frozen], table[frozen])
    assert (end[learned] != table[learned]).any(axis=1).mean() > 0.5
