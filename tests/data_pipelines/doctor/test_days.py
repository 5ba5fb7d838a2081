"""How far test lies behind train, and levels that are new by day, compared with counts in plain Python."""

import collections
import json

import numpy as np
import pytest
from doctor_tables import as_json, only

from data_pipelines.doctor.days import LevelDays
from data_pipelines.doctor.prepared import examine_prepared
from data_pipelines.doctor.raw import examine_raw
from data_pipelines.fields.columns import coded
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.split_rules import SplitRule
from data_pipelines.formats.tabular import parse_schema
from data_pipelines.prepare.build import build
from data_pipelines.read.preparation import Options

ROWS = 2000
SCHEMA = {
    "label": "y",
    "fields": [
        {"name": "ad", "kind": "categorical"},
        {"name": "tags", "kind": "multi_valued"},
        {"name": "n", "kind": "numeric", "bins": "equal_frequency", "count": 3},
    ],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """(path, rows): ads appear day by day; the label is drawn anew on each of five days."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(ROWS):
        day = int(rng.integers(5))
        tags = "|".join(f"t{int(tag)}" for tag in rng.integers(0, 3 + 2 * day, 2))
        y = int(rng.random() < 0.2 + 0.1 * day)
        rows.append((y, f"ad{rng.integers(2 * day, 4 + 3 * day)}", tags, int(rng.integers(99)), 1 + day))
    path = tmp_path_factory.mktemp("days") / "t.csv"
    path.write_text("\n".join(["y,ad,tags,n,at", *(f"{y},{ad},{tags},{n},2024-03-0{d}" for y, ad, tags, n, d in rows)]))
    return path, rows


def _new_by_day(rows, values):
    """{day: share of the values that no earlier day has}."""
    days = collections.defaultdict(list)
    for row in rows:
        days[f"2024-03-0{row[4]}"] += values(row)
    seen, found = set(), {}
    for day in sorted(days):
        found[day] = sum(value not in seen for value in days[day]) / len(days[day])
        seen |= set(days[day])
    return found


def test_new_levels_and_the_distance_of_test(table):
    path, rows = table
    options = Options(*parse_schema(SCHEMA, "s.json"), split_rule=SplitRule("column", "at"))
    report = examine_raw(options.format, options.inputs, [path], split=options)
    content = as_json(report)
    found = {(row["field"], row["day"]): row["new"] for row in content["new_levels"]}
    expected = {("ad", day): share for day, share in _new_by_day(rows, lambda row: [row[1]]).items()}
    expected |= {("tags", day): share for day, share in _new_by_day(rows, lambda row: row[2].split("|")).items()}
    assert found == pytest.approx(expected)
    # Test is the last day alone: the nearest cut to a fifth of five equal days.
    assert content["times"][2] == {"split": "test", "first": "2024-03-05 00:00:00", "last": "2024-03-05 00:00:00"}
    assert content["facts"]["seconds_to_first_test_row"] == 2 * 86_400
    lines = report.to_text().splitlines()
    assert "test begins 2 days after the last training row and ends 2 days after it" in lines
    newest = collections.Counter(row[1] for row in rows if row[4] == 5)
    known = {row[1] for row in rows if row[4] < 5}
    counts = [count for ad, count in newest.items() if ad not in known]
    (ad,) = (row for row in content["new_levels_by_field"] if row["field"] == "ad")
    assert ad["newest"] not in known and newest[ad["newest"]] == max(counts)
    assert max(map(len, lines)) <= 120


def test_prepared_data_tell_their_times_and_shifts_are_no_faults(table, tmp_path):
    path, _ = table
    options = Options(*parse_schema(SCHEMA, "s.json"), 2, split_rule=SplitRule("column", "at"))
    build(options, [path], tmp_path / "d", show=lambda line: None)
    report = examine_prepared(tmp_path / "d")
    assert "test begins 2 days after the last training row and ends 2 days after it" in report.to_text()
    assert not [one for one in report.findings if one.kind in ("shift", "base_rate_shift")]
    assert any(shift["test"] > 0.3 for shift in (row["shift"] for row in json.loads(report.to_json())["fields"]))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (SplitRule("column", "y"), "--split_by=y: the column is the label's or the weight's; name another"),
        (SplitRule("column", "ad"), "--split_by=ad: the column holds 'ad"),
        (SplitRule("name", "at"), "--split_by=at: the column names splits; the check-up takes a column of times"),
    ],
)
def test_a_column_without_times_is_one_error(table, rule, message):
    options = Options(*parse_schema(SCHEMA, "s.json"), split_rule=rule)
    report = examine_raw(options.format, options.inputs, [table[0]], split=options)
    assert only(report, "unreadable", "error").startswith(message)


def test_large_fields_are_sampled_by_their_levels():
    days = LevelDays([Input("id", "id")], max_pairs=5000)
    # On each of ten days, half of the ids are new.
    for day in range(10):
        ids = [*range(max(5000 * (day - 1), 0), 5000 * day), *range(5000 * day, 5000 * (day + 1))]
        days.add(coded({"id": [str(i) for i in ids]}), np.full(len(ids), 86_400 * day))
    (parts,) = days._parts.values()
    assert sum(part.height for part in parts) < 80_000
    assert [row["new"] for row in days.new_rows()] == pytest.approx([1.0, *[0.5] * 9], abs=0.05)
