import collections

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.fields.columns import coded
from data_pipelines.fields.counting import LevelCounter
from data_pipelines.fields.declarations import Input
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
