import datetime
import gzip
import json

import command_line
import numpy as np
import polars as pl
import pytest

from data_pipelines.doctor.suggest_schema import decide, save_schema
from data_pipelines.doctor.table_sample import sample_table
from data_pipelines.errors import UserError
from data_pipelines.formats.tabular import read_schema_file
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options

ROWS = 3000


def _table():
    """Rows of every kind of column."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(1000)[rng.zipf(1.3, ROWS) % 1000]
    start = datetime.datetime(2024, 1, 1)
    times = [start + datetime.timedelta(minutes=int(m)) for m in rng.integers(0, 40_000, ROWS)]
    genres = ["drama", "comedy", "action", "romance"]
    tags = [rng.choice(genres, rng.integers(0, 5), replace=False) for _ in range(ROWS)]
    return {
        "row_id": [f"r{i}" for i in range(ROWS)],
        "click": rng.integers(0, 2, ROWS).tolist(),
        "country": rng.choice(["de", "fr", ""], ROWS).tolist(),
        "site": codes.tolist(),
        "zip": [f"{z:05d}" for z in rng.integers(0, 500, ROWS)],
        "campaign_id": rng.poisson(300, ROWS).tolist(),
        "age": rng.normal(40, 12, ROWS).round().clip(15, 90).astype(int).tolist(),
        "views": np.floor(rng.lognormal(2, 2, ROWS)).astype(int).tolist(),
        "price": rng.lognormal(1, 1, ROWS).round(3).tolist(),
        "slots": rng.integers(1, 5, ROWS).tolist(),
        "genres": ["|".join(t) for t in tags],
        "words": [",".join(t) for t in tags],
        "when": [f"{time:%Y-%m-%d %H:%M:%S}" for time in times],
        "version": ["7"] * ROWS,
        "nothing": [""] * ROWS,
    }


KINDS = {
    "row_id": "left out",
    "click": "label",
    "country": "categorical",
    "site": "categorical",
    "zip": "categorical",
    "campaign_id": "categorical",
    "age": "equal_frequency",
    "views": "log_square",
    "price": "equal_frequency",
    "slots": "categorical",
    "genres": "|",
    "words": ",",
    "when": "time",
    "version": "left out",
    "nothing": "left out",
}


def _csv(path, table, delimiter=",", quote="necessary"):
    pl.DataFrame(table).write_csv(path, separator=delimiter, quote_style=quote)
    return path


def _found(decisions):
    """What was decided in a word, by column."""
    found = {}
    for one in decisions:
        field = one.fields[0] if one.fields else {}
        found[one.column] = field.get("bins") or field.get("separator") or one.kind
    return found


def test_every_kind_of_column_of_a_csv_file(tmp_path):
    decisions = decide(sample_table(_csv(tmp_path / "t.csv", _table())))
    assert _found(decisions) == KINDS
    whys = {one.column: one.why for one in decisions}
    assert whys["row_id"] == "names the row: 3,000 levels in 3,000 rows"
    assert whys["version"] == "is '7' in all rows" and whys["nothing"] == "is empty"


@pytest.mark.parametrize("delimiter, quote, file", [
    ("\t", "never", {"format": "tsv"}),
    ("\t", "always", {"format": "tsv", "quoted": True}),
    (";", "necessary", {"format": "csv", "delimiter": ";"}),
    (",", "always", {"format": "csv"}),
])  # fmt: skip
def test_delimiters_and_quotes_are_found(tmp_path, delimiter, quote, file):
    sample = sample_table(_csv(tmp_path / "t.any", _table(), delimiter, quote))
    assert sample.file == file and _found(decide(sample)) == KINDS


def test_quotes_inside_of_values_are_text(tmp_path):
    table = _table() | {"country": ['6" wide', "plain"] * (ROWS // 2), "words": ["x", "y"] * (ROWS // 2)}
    sample = sample_table(_csv(tmp_path / "t.csv", table, quote="never"))
    assert sample.file == {"format": "csv", "quoted": False}
    assert sample.rows["country"][0] == '6" wide'


def test_a_compressed_file(tmp_path):
    path = _csv(tmp_path / "t.csv", _table())
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert _found(decide(sample_table(path))) == KINDS


def test_a_parquet_file(tmp_path):
    table = _table()
    frame = pl.DataFrame(table).with_columns(
        pl.col("genres").str.split("|"), pl.col("when").str.to_datetime(), pl.col("click").cast(pl.Boolean)
    )
    frame = frame.with_columns(pl.struct("age", "views").alias("nested"))
    frame.write_parquet(tmp_path / "t.parquet")
    sample = sample_table(tmp_path / "t.parquet")
    decisions = decide(sample)
    assert sample.file == {"format": "parquet"} and _found(decisions) == KINDS | {"nested": "left out"}
    assert "which is no text" in decisions[-1].why


def test_the_file_can_be_read_and_the_table_be_prepared_by_it(tmp_path):
    raw, schema_file = _csv(tmp_path / "t.csv", _table()), tmp_path / "schema.json"
    sample = sample_table(raw)
    save_schema(schema_file, sample, decide(sample))
    raw_format, inputs = read_schema_file(schema_file)
    assert raw_format.label == "click" and [one.name for one in inputs][-2:] == ["hour_of_day", "weekday"]
    lines = schema_file.read_text().splitlines()
    assert len(lines) == len(inputs) + 6 and all(line.startswith('    {"name"') for line in lines[4:-2])
    build(Options(raw_format, inputs, min_count=2), [raw], tmp_path / "d", show=lambda line: None)
    assert sum(open_data(tmp_path / "d").rows.values()) == ROWS
    with pytest.raises(UserError, match="exists already; name another file"):
        save_schema(schema_file, sample, decide(sample))


def test_names_that_fields_may_not_have(tmp_path):
    table = {"y": [0, 1] * 50, "a/b": ["x", "y"] * 50, ".c": ["x", "y"] * 50, "weekday": ["1", "2"] * 50}
    table |= {"at": ["2024-01-01 10:00", "2024-01-02 11:00"] * 50, "": ["p", "q"] * 50, "a_b": ["x", "y"] * 50}
    decisions = decide(sample_table(_csv(tmp_path / "t.csv", table)))
    fields = [(field["name"], field.get("column")) for one in decisions for field in one.fields]
    assert fields == [
        ("a_b_", "a/b"), ("c", ".c"), ("weekday", None), ("hour_of_day", "at"), ("at_weekday", "at"), ("a_b", None)
    ]  # fmt: skip
    assert next(one for one in decisions if one.column == "").why == "has no name"


def test_times_of_one_day_have_no_weekday(tmp_path):
    table = {"y": [0, 1] * 50, "at": ["24010110", "24010111"] * 50}
    (one,) = (one for one in decide(sample_table(_csv(tmp_path / "t.csv", table))) if one.kind == "time")
    (field,) = one.fields
    assert field == {
        "name": "hour_of_day", "column": "at", "kind": "time", "part": "hour_of_day", "format": "YYMMDDHH"
    }  # fmt: skip


def test_composed_codes_and_prose_have_no_several_values(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [f"{a}|{b}" for a, b in rng.integers(0, 30, (1000, 2))]
    prose = [", ".join(f"w{w}" for w in rng.integers(0, 9, rng.integers(1, 6))) for _ in range(1000)]
    table = {"y": [0, 1] * 500, "pair": pairs, "prose": prose}
    assert _found(decide(sample_table(_csv(tmp_path / "t.csv", table)))) == {
        "y": "label", "pair": "categorical", "prose": "categorical"
    }  # fmt: skip


def test_which_column_is_the_label(tmp_path):
    table = _table()
    table["bought"] = table.pop("click")
    sample = sample_table(_csv(tmp_path / "t.csv", table))
    with pytest.raises(
        UserError, match="which column is the label. give it as --label=NAME; columns of 0 and 1: bought"
    ):
        decide(sample)
    assert _found(decide(sample, "bought")) == {c: k for c, k in KINDS.items() if c != "click"} | {"bought": "label"}
    with pytest.raises(UserError, match="--label=none: there is no such column; of 0 and 1 are: bought"):
        decide(sample, "none")
    with pytest.raises(UserError, match="--label=version: the column holds '7' beside 0 and 1"):
        decide(sample, "version")
    two = sample_table(_csv(tmp_path / "two.csv", _table() | {"target": [0, 1] * (ROWS // 2)}))
    with pytest.raises(UserError, match="columns of 0 and 1: click, target"):
        decide(two)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the file is empty"),
        ("0,1,3\n1,0,5\n", "looks like values, not like a header"),
        ("alone\nx\ny\n", "no comma, tab, semicolon or bar splits its lines"),
        ("a,b,a\n1,2,3\n", "names column 'a' twice"),
        ("a,b\n", "the file has a header but no readable rows"),
    ],
)
def test_files_that_are_no_table(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        sample_table(tmp_path / "t.csv")


def test_no_column_left(tmp_path):
    (tmp_path / "t.csv").write_text("y,a\n" + "0,x\n1,x\n" * 20)
    with pytest.raises(UserError, match="no column is left for a field .a: is 'x' in all rows"):
        decide(sample_table(tmp_path / "t.csv"))


def test_a_large_file_is_sampled_at_its_middle_too(tmp_path):
    table = {"y": [0, 1] * 500, "part": ["first"] * 450 + ["second"] * 550}
    sample = sample_table(_csv(tmp_path / "t.csv", table), max_rows=100)
    assert sample.rows.height == 200 and set(sample.rows["part"]) == {"first", "second"}


def test_command(tmp_path):
    raw, out = _csv(tmp_path / "t.csv", _table()), tmp_path / "schema.json"
    arguments = ("data_pipelines.doctor", f"--raw={raw}", f"--suggest_schema={out}")
    text = command_line.run_forked(*arguments)
    assert "row_id left out names the row: 3,000 levels in 3,000 rows" in " ".join(text.split())
    assert f"--dataset=tabular --schema={out} --raw={raw}" in text
    read_schema_file(out)
    assert "exists already" in command_line.error_in_process(*arguments)
    out.unlink()
    content = json.loads(command_line.run_forked(*arguments, "--json"))
    assert {one["column"]: one["kind"] for one in content["columns"]}["when"] == "time"


def test_the_frappe_slice(shared_data):
    found = _found(decide(sample_table(shared_data / "frappe" / "frappe.csv")))
    assert found.pop("label") == "label" and set(found.values()) == {"categorical"} and len(found) == 10
