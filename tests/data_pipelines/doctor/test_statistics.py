import numpy as np
import pytest
from doctor_tables import as_json

from data_pipelines.doctor import duplicates, statistics
from data_pipelines.doctor.result import Column, Report


def test_random_splits_raise_no_alarm_and_selection_by_train_does_not_look_like_a_shift():
    rng = np.random.default_rng(3)
    smallest = 1.0
    for trial in range(300):
        levels = rng.zipf(1.2, 10_000) % 5000
        split = rng.choice(3, len(levels), p=[0.7, 0.1, 0.2])
        train, validation, test = (np.bincount(levels[split == s], minlength=5000) for s in range(3))
        min_count = (1, 2, 5, 20)[trial % 4]
        kept = train >= min_count
        for other in (validation, test):
            pair = [np.append(counts[~kept].sum(), counts[kept]) for counts in (train, other)]
            smallest = min(smallest, statistics.level_shift(*pair, min_count).p)
    assert 1e-5 < smallest < 0.02


def test_values_of_one_row_do_not_count_as_independent():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        levels, split = rng.zipf(1.5, 5000) % 100, rng.random(5000) < 0.3
        # Four equal values per row tell no more than one.
        pair = [4 * np.bincount(levels[split == s], minlength=101) for s in (False, True)]
        found.append(statistics.level_shift(*pair, 0, 4).p)
    assert min(found) > 1e-4 and 0.3 < np.median(found) < 0.7


def test_rates_that_chance_explains():
    assert statistics.rate_shift(np.array([700, 300]), np.array([70, 30])) == pytest.approx(1)
    # Pooled rate 0.25: standard error sqrt(0.25 * 0.75 * (1 / 1000 + 1 / 1000)) = 0.019365.
    p = statistics.rate_shift(np.array([700, 300]), np.array([800, 200]))
    assert p == pytest.approx(2.417e-7, rel=1e-3)


def test_leaking_levels_are_those_chance_does_not_explain():
    counts = np.array([[800, 200], [0, 8], [0, 40], [1, 60], [3, 40], [100, 0], [0, 0]])
    assert statistics.leaking_levels(counts).tolist() == [3, 2]


def test_too_few_positives_tell_no_auc():
    counts = np.array([[100, 0], [0, 19]])
    assert statistics.field_auc(counts, counts) is None
    assert statistics.field_auc(counts + [[0, 0], [0, 1]], counts + [[0, 0], [0, 1]]) == 1


def test_a_sample_of_keys_finds_the_same_shares():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 30_000, (50_000, 2), dtype=np.int64) // [1, 30_000]
    rows[:, 1] = rows[:, 0] % 7
    label = np.zeros(len(rows))
    everything, sample = duplicates.RowKeys(2), duplicates.RowKeys(2, max_rows=20_000)
    for keys in (everything, sample):
        for start in range(0, len(rows), 5000):
            part = slice(start, start + 5000)
            keys.add(duplicates.row_hash(rows[part]), label[part], start // 5000 % 2)
    assert everything.duplicates().identical == pytest.approx(sample.duplicates().identical, abs=0.02)
    assert everything.duplicates().also_first[0] == pytest.approx(sample.duplicates().also_first[0], abs=0.02)


def test_long_texts_are_cut_and_odd_ones_escaped():
    report = Report("table")
    report.section("fields", [{"field": "f" * 40, "level": "a\tb", "share": {"train": None, "test": 0.125}}])
    columns = [
        Column("field", "field"),
        Column("level", "level"),
        Column("share.train", "train", "percent", "% missing"),
    ]
    report.table("title", "fields", [*columns, Column("share.test", "test", "percent", "% missing")])
    assert report.to_text().splitlines()[2:] == [
        "title",
        "                            % missing",
        "field               level   train   test",
        "ffffffffffffffff..  'a\\tb'      -   12.5",
        "",
        "0 errors, 0 warnings",
    ]
    report.warning("kind", "message", value=np.float32("nan"))
    assert as_json(report)["findings"][0]["value"] is None and report.to_text().endswith("0 errors, 1 warning")
