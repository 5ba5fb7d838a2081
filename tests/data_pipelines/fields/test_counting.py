import collections

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.declarations import Input
from data_pipelines.fields.numeric import NumericSample
from data_pipelines.prepare.engines.memory import MemoryPlan

INPUTS = (Input("long", "long"), Input("short", "short"), Input("n", "n", "log_square"))


def _chunks(chunks, rows):
    rng = np.random.default_rng(5)
    for _ in range(chunks):
        numbers = rng.integers(0, 3000, rows)
        yield (
            {
                "long": ["x" * 40 + str(i) for i in numbers],
                "short": [str(i % 50) for i in numbers],
                "n": [str(i) if i % 7 else "" for i in numbers],
            },
            rng.random(rows) < 0.7,
        )


@pytest.mark.parametrize("max_bytes", [1, 100_000, 10**9])
def test_counts_on_disk_equal_counts_in_memory(tmp_path, max_bytes):
    counter = LevelCounter(INPUTS, tmp_path, max_bytes)
    expected = collections.Counter()
    for columns, chosen in _chunks(8, 2000):
        counter.add(coded(columns), chosen)
        expected.update(text for text, c in zip(columns["long"], chosen, strict=True) if c)
        held = sum(counts.bytes for counts in counter._counts.values())
        assert held <= max_bytes
    assert any(tmp_path.iterdir()) == (max_bytes < 10**9)
    found = counter.frequent_levels("long", 3)
    kept = sorted(((v, n) for v, n in expected.items() if n >= 3), key=lambda pair: (-pair[1], pair[0]))
    assert found.rows() == kept
    assert counter.frequent_levels("short", 1)["count"].sum() == expected.total()
    assert counter.frequent_levels("n", 1)["level"].n_unique() > 20
    assert not any(tmp_path.iterdir())


def test_the_plan_names_what_is_too_little():
    with pytest.raises(UserError, match=r"--memory_gb=0.5 is too small: at least 0.7\d is needed"):
        MemoryPlan.within(0.5)
    with pytest.raises(UserError, match="--memory_gb=1e.06 is more than this machine has"):
        MemoryPlan.within(1e6)
    small, large = MemoryPlan.within(0.8), MemoryPlan.within(3.0)
    assert small.chunk_bytes < large.chunk_bytes and small.count_bytes < large.count_bytes
    small.check_levels(small.max_levels)
    with pytest.raises(UserError, match="levels are too many for the memory given.*raise --min_count, or --memory_gb"):
        small.check_levels(10 * small.max_levels)


NUMBERS = (Input("a", "a", "equal_frequency", bins=4), Input("b", "b", "value"), Input("c", "c", "log_value"))


def test_boundaries_and_moments_by_hand():
    sample = NumericSample(NUMBERS, seed=0)
    columns = {"a": ["1", "2", "3", "4", "5", "6", "7", "8"], "b": ["1", "3", "", "nan"] * 2, "c": ["0"] * 8}
    sample.add(coded(columns), np.arange(8), np.ones(8, bool))
    parameters = sample.parameters()
    # A next bin begins at the smallest value that a quarter, half, three quarters of the rows do not exceed.
    assert parameters == {"a": (2.0, 4.0, 6.0), "b": (2.0, 1.0), "c": (0.0, 1.0)}


def test_repeated_values_make_fewer_bins_and_missing_ones_none():
    sample = NumericSample(NUMBERS, seed=0)
    sample.add(coded({"a": ["0"] * 9 + ["5"], "b": [""] * 10, "c": [""] * 10}), np.arange(10), np.ones(10, bool))
    assert sample.parameters() == {"a": (), "b": (0.0, 1.0), "c": (0.0, 1.0)}


def test_numbers_that_overflow_do_not_spoil_the_others():
    sample = NumericSample(NUMBERS, seed=0)
    sample.add(coded(dict.fromkeys("abc", ["1", "1e999", "-1e999", "1e300", "3"])), np.arange(5), np.ones(5, bool))
    assert np.isfinite([number for found in sample.parameters().values() for number in found]).all()


def test_the_sample_depends_on_rows_alone(monkeypatch):
    monkeypatch.setattr("data_pipelines.fields.numeric.SAMPLE_ROWS", 100)
    rng = np.random.default_rng(0)
    texts = [f"{v:.6f}" for v in rng.normal(size=5000)]
    chosen = rng.random(5000) < 0.7
    found = []
    for size in (5000, 700, 64):
        sample = NumericSample(NUMBERS, seed=1)
        starts = list(range(0, 5000, size))
        for start in starts if size == 700 else starts[::-1]:
            part = slice(start, start + size)
            sample.add(coded(dict.fromkeys("abc", texts[part])), np.arange(5000)[part], chosen[part])
        assert len(sample.sample()[0]) == 100
        found.append(sample.parameters())
    assert found[0] == found[1] == found[2]
    mean, deviation = found[0]["b"]
    assert abs(mean) < 0.3 and abs(deviation - 1) < 0.3
