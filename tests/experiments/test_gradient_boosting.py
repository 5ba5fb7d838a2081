"""Gradient boosting on the raw rows of prepared directories."""

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from data_pipelines.errors import UserError
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.dataset import open_data
from data_pipelines.read.preparation import Options
from experiments.gradient_boosting import Features, fitted
from experiments.measuring.raw_splits import Columns, load_columns

ROWS = 3000
SCHEMA = {
    "label": "clicked",
    "fields": [
        {"name": "user", "kind": "categorical"},
        {"name": "shop", "kind": "categorical"},
        {"name": "age", "kind": "numeric", "bins": "equal_frequency", "count": 4},
        {"name": "price", "kind": "numeric", "bins": "none", "scale": "linear"},
        {"name": "tags", "kind": "multi_valued", "separator": "|", "max_values": 3},
    ],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """(the raw file, what it holds): users' rates and the age decide the clicks."""
    rng = np.random.default_rng(0)
    user, age = rng.integers(0, 400, ROWS), rng.integers(18, 80, ROWS)
    logit = rng.normal(0.0, 2.0, 400)[user] + np.where(age > 50, 2.0, -2.0)
    frame = pl.DataFrame(
        {
            "clicked": (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.int8),
            "day": [f"2024-01-{1 + row // 100:02d}" for row in range(ROWS)],
            "user": [f"u{one}" for one in user],
            "shop": rng.choice(["a", "b", "c"], ROWS),
            "age": [None if one < 20 else one for one in age.tolist()],
            "price": rng.random(ROWS).round(3),
            "tags": rng.choice(["x", "x|y", "y|z|x", ""], ROWS),
        }
    )
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    frame.write_csv(path)
    return path, frame


@pytest.fixture(scope="module")
def prepared(table, tmp_path_factory):
    """The table, prepared with a split at random, and by day."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, rule in (("random", SplitRule()), ("days", SplitRule("time", "day", "%Y-%m-%d"))):
        options = Options(*parse_schema(SCHEMA, "the schema"), min_count=2, split_rule=rule)
        build(options, [table[0]], folder / name, show=lambda line: None)
    return folder


@pytest.mark.parametrize("name", ["random", "days"])
def test_rows_are_those_of_the_prepared_splits(table, prepared, name):
    data, found = open_data(prepared / name), load_columns(prepared / name, [table[0]])
    rows = {}
    for split, columns in found.items():
        batches = list(data.evaluation(split, 1000).as_numpy_iterator())
        ids, labels = np.concatenate([inputs["ids"] for inputs, _ in batches]), [label for _, label in batches]
        wanted = np.stack([ids[:, 0], ids[:, 1] - data.schema.fields[1].offset, np.concatenate(labels)], axis=1)
        have = np.stack([columns.levels["user"], columns.levels["shop"], columns.label], axis=1)
        # The prepared rows are shuffled.
        np.testing.assert_array_equal(wanted[np.lexsort(wanted.T)], have[np.lexsort(have.T)])
        rows[split] = sorted(columns.numbers["price"].tolist())
        assert list(columns.levels) == ["user", "shop"] and columns.weight is None
        # Ages are numbers and missing ones NaN; each tag, the missing one and the rare ones have a count.
        ages = columns.numbers["age"]
        assert 20 <= np.nanmin(ages) < np.nanmax(ages) <= 79 and 0 < np.isnan(ages).sum() < len(ages) / 10
        tags = sum(value for key, value in columns.numbers.items() if key.startswith("tags="))
        assert set(tags) == {1.0, 2.0, 3.0}
    assert sorted(sum(rows.values(), [])) == sorted(table[1]["price"].to_list())
    if name == "days":
        assert rows["train"] == sorted(table[1]["price"][:2100].to_list())


def test_other_raw_files_are_refused(table, prepared, tmp_path):
    (tmp_path / "other.csv").write_text(table[0].read_text() + "0,2024-01-30,u1,a,20,0.5,x\n")
    with pytest.raises(UserError, match=r"random: not prepared from .*other.csv; give the files that it was made of"):
        load_columns(prepared / "random", [tmp_path / "other.csv"])


def test_a_training_row_does_not_see_its_own_label():
    # Each level has one row, so that rates that saw it would be the label.
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1000).astype(np.uint8)
    train = Columns({"id": np.arange(1000), "few": label.astype(np.int64)}, {"x": np.ones(1000)}, label, None)
    features = Features(train, seed=0)
    assert features.categorical.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(features.matrix[:, 0], label)
    np.testing.assert_array_equal(features.matrix[:, 1], 1.0)
    # A fold's rate over the other rows, the same for all its rows; the logarithm of a row each.
    assert len(np.unique(features.matrix[:, 2])) <= 5 and abs(np.corrcoef(features.matrix[:, 2], label)[0, 1]) < 0.2
    np.testing.assert_allclose(features.matrix[:, 3], np.log(2.0))
    # Rows of other splits: a known level, and one beyond those that training rows have.
    other = Columns({"id": np.array([3, 1000]), "few": np.array([0, 1])}, {"x": np.ones(2)}, label[:2], None)
    matrix = features(other)
    assert matrix[0, 2] != matrix[1, 2] == pytest.approx(label.mean()) and matrix[1, 3] == 0.0


def test_boosting_finds_what_was_planted(table, prepared):
    rows = load_columns(prepared / "random", [table[0]])
    # Threads of several tests at once would wait for each other.
    with threadpool_limits(1):
        found = fitted(rows, seed=0, rate=0.3, trees=25)
    # Knowing age alone gives about 0.8; users add to it.
    assert found["test"]["auc"] > 0.82 and found["test"]["rows"] == len(rows["test"].label)
    assert 1 <= found["model"]["trees"] <= 25 and found["validation"]["auc"] > 0.8
