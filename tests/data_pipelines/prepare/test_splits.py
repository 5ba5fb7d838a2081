"""Splits by time, by name, by group and by file; weights and kept negatives: what the prepared rows are."""

import json

import numpy as np
import polars as pl
import pytest
from criteo_build import files_of

from data_pipelines.errors import UserError
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.fields.vocabulary import Vocabularies
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.prepare.engines.memory import MemoryPlan
from data_pipelines.prepare.splitting import cut_points
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import SPLITS, Options, Preparation

ROWS = 400
SHARES = (0.7, 0.1, 0.2)
BY_AT, AT_RANDOM = SplitRule("column", "at"), SplitRule()
SCHEMA = {"label": "y", "fields": [{"name": "id", "kind": "categorical"}]}


def _table(path, **more):
    """Rows that are named by "id", with times in no order, users and splits; returns the columns."""
    rng = np.random.default_rng(0)
    day, minute = rng.integers(1, 9, ROWS), rng.integers(0, 60, ROWS)
    at = [f"2024-03-0{d} 12:{m:02}:07" for d, m in zip(day, minute, strict=True)]
    columns = {"y": np.arange(ROWS) % 2, "id": [f"r{i}" for i in range(ROWS)], "at": at}
    columns |= {"user": [f"u{i}" for i in rng.integers(0, 40, ROWS)], "w": np.arange(ROWS) % 4}
    columns |= {"part": np.array([" Train ", "val", "TEST"])[np.minimum(np.arange(ROWS) % 5, 2)], **more}
    frame = pl.DataFrame({name: list(map(str, values)) for name, values in columns.items()})
    frame.write_csv(path)
    return frame


def _prepared(raw, path, rule=AT_RANDOM, schema=None, shown=None, **options):
    options = Options(*parse_schema(SCHEMA | (schema or {}), "s.json"), min_count=1, split_rule=rule, **options)
    build(options, raw if isinstance(raw, list) else [raw], path, show=(shown if shown is not None else []).append)
    return open_data(path)


def _ids(data):
    """The rows of each split by the text of "id", with their labels and weights."""
    batches = {split: list(data.evaluation(split, ROWS).as_numpy_iterator()) for split in SPLITS}
    return {split: [np.concatenate(parts) for parts in zip(*found, strict=True)] for split, found in batches.items()}


def _level_of(frame, column):
    """By split of a column's function, how often a level may be known; the training rows' own levels alone are."""
    return dict(zip(frame["id"], frame[column], strict=True))


def _rows_of_train(data):
    """The names of the rows whose level has a row of the table: those of the training split."""
    return set(Vocabularies.load(data.path, data.schema).levels["id"])


def test_a_time_column_puts_the_last_shares_behind_and_keeps_ties_together(tmp_path):
    frame = _table(tmp_path / "t.csv")
    shown = []
    data = _prepared(tmp_path / "t.csv", tmp_path / "d", BY_AT, shown=shown)
    times = sorted(frame["at"])
    # Cut where the number of rows before is nearest to the share, counted in plain Python.
    firsts = sorted(set(times))[1:]
    test = min(firsts[1:], key=lambda t: abs(sum(one < t for one in times) - 0.8 * ROWS))
    validation = min((t for t in firsts if t < test), key=lambda t: abs(sum(one < t for one in times) - 0.7 * ROWS))
    train = frame.filter(pl.col("at") < pl.lit(validation))
    assert data.rows == {
        "train": train.height,
        "validation": sum(validation <= one < test for one in times),
        "test": sum(one >= test for one in times),
    }
    # Vocabularies are of training rows alone, and every row names itself.
    assert _rows_of_train(data) == set(train["id"])
    assert (_ids(data)["test"][0] == 0).all() and (_ids(data)["train"][0] > 0).all()
    assert data.preparation.times["train"] == (times[0], train["at"].max())
    assert data.preparation.times["test"] == (test, times[-1])
    assert f"test: at from {test} to {times[-1]}" in shown
    assert "note: --split_by=at: times are read as iso8601; --split_time names another form" in shown
    assert data.preparation.options.split_rule == SplitRule("time", "at", "iso8601")


def test_files_of_a_split_by_time_do_not_depend_on_chunks(tmp_path, monkeypatch):
    _table(tmp_path / "t.csv")
    whole = _prepared(tmp_path / "t.csv", tmp_path / "a", BY_AT, negative_rate=0.5)
    plan = MemoryPlan(2000, 10**6, 10**6)
    monkeypatch.setattr(MemoryPlan, "within", classmethod(lambda cls, memory_gb: plan))
    parts = _prepared(tmp_path / "t.csv", tmp_path / "b", BY_AT, negative_rate=0.5)
    assert files_of(whole.path) == files_of(parts.path)


def test_a_column_of_names_and_a_column_of_groups(tmp_path):
    frame = _table(tmp_path / "t.csv")
    named = _prepared(tmp_path / "t.csv", tmp_path / "named", SplitRule("column", "part"))
    assert named.rows == {"train": 80, "validation": 80, "test": 240}
    assert _rows_of_train(named) == set(frame.filter(pl.col("part") == " Train ")["id"])
    grouped = _prepared(tmp_path / "t.csv", tmp_path / "grouped", SplitRule("group", "user"))
    trained, user = _rows_of_train(grouped), _level_of(frame, "user")
    users = {user[one] for one in trained}
    assert trained == {one for one in frame["id"] if user[one] in users} and 0 < len(users) < 40
    other = _prepared(tmp_path / "t.csv", tmp_path / "other", SplitRule("group", "user"), seed=1)
    assert _rows_of_train(other) != trained
    assert len({data.fingerprint for data in (named, grouped, other)}) == 3


def test_rows_without_a_group_are_divided_by_themselves(tmp_path):
    _table(tmp_path / "t.csv", user=[""] * ROWS)
    grouped = _prepared(tmp_path / "t.csv", tmp_path / "grouped", SplitRule("group", "user"))
    assert grouped.rows == _prepared(tmp_path / "t.csv", tmp_path / "random").rows


def test_files_that_are_split_already(tmp_path):
    frame = _table(tmp_path / "t.csv")
    parts = []
    for number, (start, length) in enumerate(((0, 150), (150, 100), (250, 50), (300, 100))):
        parts.append(tmp_path / f"{number}.csv")
        frame.slice(start, length).write_csv(parts[-1])
    data = _prepared(parts, tmp_path / "d", SplitRule("files", files=(2, 1, 1)))
    assert data.rows == {"train": 250, "validation": 50, "test": 100}
    assert _rows_of_train(data) == set(frame["id"][:250])
    shared = _prepared(parts, tmp_path / "s", SplitRule("files", files=(2, 0, 2), validation_share=0.2))
    assert shared.rows["test"] == 150 and shared.rows["train"] == pytest.approx(200, abs=25)
    assert _rows_of_train(shared) < set(frame["id"][:250])
    assert "--train, --validation=0.2 and --test" in str(shared.preparation.options.split_rule)


def test_weights_are_stored_and_read(tmp_path):
    frame = _table(tmp_path / "t.csv")
    data = _prepared(tmp_path / "t.csv", tmp_path / "d", schema={"weight": "w"})
    levels = ["?", *Vocabularies.load(data.path, data.schema).levels["id"]]
    weight = _level_of(frame, "w")
    ids, labels, weights = _ids(data)["train"]
    assert weights.dtype == np.float32
    assert weights.tolist() == [float(weight[levels[i]]) for i in ids[:, 0]]
    assert json.loads((data.path / "schema.json").read_text())["format"]["weight"] == "w"
    # The streams of training and gates have the same rows.
    inputs, labels, weights = next(data.train(64).as_numpy_iterator())
    assert weights.tolist() == [float(weight[levels[i]]) for i in inputs[:, 0]] and labels.shape == (64,)


def test_a_share_of_the_negatives_of_train_is_kept(tmp_path):
    _table(tmp_path / "t.csv")
    shown = []
    all_rows = _prepared(tmp_path / "t.csv", tmp_path / "a")
    some = _prepared(tmp_path / "t.csv", tmp_path / "s", negative_rate=0.25, shown=shown)
    assert some.positives == all_rows.positives
    assert {split: some.rows[split] for split in SPLITS[1:]} == {split: all_rows.rows[split] for split in SPLITS[1:]}
    negatives = all_rows.rows["train"] - all_rows.positives["train"]
    kept = some.rows["train"] - some.positives["train"]
    assert kept == pytest.approx(0.25 * negatives, abs=20) and kept < negatives
    assert some.preparation.dropped_negatives == negatives - kept
    assert any(f"{negatives - kept} negatives of train are left out (--negative_rate=0.25)" in line for line in shown)
    assert len(_rows_of_train(some)) == some.rows["train"]
    assert Preparation.from_json(some.preparation.to_json(), "p").options.negative_rate == 0.25


def test_what_is_not_asked_for_is_not_written(tmp_path):
    _table(tmp_path / "t.csv")
    found = _prepared(tmp_path / "t.csv", tmp_path / "d").preparation.to_json()
    assert {"times", "dropped_negatives"}.isdisjoint(found)
    assert {"split_rule", "negative_rate"}.isdisjoint(found["options"]) and "weight" not in found["options"]["format"]


def test_another_rule_than_there_is_named(tmp_path):
    _table(tmp_path / "t.csv")
    _prepared(tmp_path / "t.csv", tmp_path / "d", BY_AT)
    shown = []
    _prepared(tmp_path / "t.csv", tmp_path / "d", BY_AT, shown=shown)
    assert shown[-1] == f"{tmp_path / 'd'}: already prepared"
    with pytest.raises(UserError, match=r"with --split_by=at \(times of the form iso8601\), not --split_group=user"):
        _prepared(tmp_path / "t.csv", tmp_path / "d", SplitRule("group", "user"))
    with pytest.raises(UserError, match="prepared with --negative_rate=1.0, not 0.5"):
        _prepared(tmp_path / "t.csv", tmp_path / "d", BY_AT, negative_rate=0.5)


@pytest.mark.parametrize(
    ("rule", "schema", "more", "message"),
    [
        (BY_AT, {}, {"at": ["2024-03-01", *["2024-03-02"] * (ROWS - 1)]}, "of 2 different times only"),
        (BY_AT, {}, {"at": [*["2024-03-01"] * (ROWS - 1), ""]}, "401: field at: '' is not a time of"),
        (BY_AT, {}, {"at": ["soon"] * ROWS}, "--split_by=at: the column holds 'soon', which"),
        (BY_AT, {}, {"at": [""] * ROWS}, "--split_by=at: the column is empty; name another"),
        (
            SplitRule("column", "part"), {}, {"part": ["train", *["test"] * (ROWS - 1)]},
            "validation split gets none of the 400 rows; give it rows of both labels",
        ),
        (
            SplitRule("column", "part"), {}, {"part": ["train", "dev", *["test"] * (ROWS - 2)]},
            "t.csv:3: field part: 'dev' is not train, validation or test; fix the line or allow it",
        ),
        (SplitRule("column", "when"), {}, {}, "t.csv:1: the header has no column 'when'; there are y, id"),
        (SplitRule("group", "y"), {}, {}, "--split_group=y: the column is the label's or the weight's; name another"),
        (AT_RANDOM, {"weight": "w"}, {"w": ["1", "-2", *["1"] * (ROWS - 2)]}, "t.csv:3: field w: '-2' is not a number"),
        (AT_RANDOM, {"weight": "w"}, {"w": ["", *["1"] * (ROWS - 1)]}, "t.csv:2: field w: '' is not a number"),
        (AT_RANDOM, {"weight": "w"}, {"w": ["inf", *["1"] * (ROWS - 1)]}, "field w: 'inf' is not a number"),
        (AT_RANDOM, {"weight": "w"}, {"w": np.arange(ROWS) % 2}, "all .* negatives of the train split have weight 0"),
        (AT_RANDOM, {"weight": "v"}, {}, "t.csv:1: the header has no column 'v'"),
        (AT_RANDOM, {"weight": "y"}, {}, "s.json: 'weight' should name a column other than the label, got 'y'"),
        (AT_RANDOM, {"weight": "id"}, {}, "s.json: field id reads the weight column 'id', which pre"),
        (AT_RANDOM, {"weight": 3}, {}, "s.json: 'weight' should be str, got 3"),
        (
            SplitRule(), {"weight": "w", "file": {"columns": ["y", "id"]}}, {},
            "s.json, file: 'columns' should have the weight 'w' among them, got y, id",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, rule, schema, more, message):
    _table(tmp_path / "t.csv", **more)
    with pytest.raises(UserError, match=message) as error:
        _prepared(tmp_path / "t.csv", tmp_path / "d", rule, schema)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_cut_points_by_hand():
    times, even = np.arange(10), np.ones(10, np.int64)
    assert cut_points(times, even, SHARES, "r") == (7, 8)
    # Half of the rows are of one time: the nearest cuts are around it.
    assert cut_points(times, np.array([1, 1, 1, 1, 1, 9, 1, 1, 1, 1]), SHARES, "r") == (5, 6)
    # Every split keeps a time of its own, however small its share.
    assert cut_points(np.arange(3), np.array([1, 1, 98]), SHARES, "r") == (1, 2)
    assert cut_points(np.arange(3), np.array([98, 1, 1]), SHARES, "r") == (1, 2)
    with pytest.raises(UserError, match=r"r: the rows are of 2 different times only \(1970-01-01 00:00:00 and 1970-"):
        cut_points(np.array([0, 60]), np.array([5, 5]), SHARES, "r")
