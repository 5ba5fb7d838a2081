import numpy as np
import pytest

from data_pipelines.row_hashes import bucket_of_rows, row_hashes, split_of_rows, splitmix64

SHARES = (0.7, 0.1, 0.2)


def test_splitmix64_reference_values():
    # The generator's first outputs for state 0 and for state 1234567 (Vigna's splitmix64.c).
    assert splitmix64(np.array([0, 1234567], np.uint64)).tolist() == [
        16294208416658607535,
        6457827717110365317,
    ]


def test_shares_and_independence_of_position():
    rows = np.arange(1_000_000)
    split = split_of_rows(rows, SHARES, seed=0)
    # Three standard deviations of a share of 0.7 over a million rows are 0.0014.
    assert np.bincount(split) / len(rows) == pytest.approx(SHARES, abs=0.0014)
    for part in np.split(split, 10):
        assert np.bincount(part) / len(part) == pytest.approx(SHARES, abs=0.006)
    assert (split[12_345:12_400] == split_of_rows(rows[12_345:12_400], SHARES, seed=0)).all()


def test_seeds_and_salts_are_independent():
    rows = np.arange(100_000)
    first, second = split_of_rows(rows, SHARES, 0), split_of_rows(rows, SHARES, 1)
    # Two independent draws agree on 0.49 + 0.01 + 0.04 of the rows.
    assert (first == second).mean() == pytest.approx(0.54, abs=0.01)
    assert not (row_hashes(rows, 0, 1) == row_hashes(rows, 0, 2)).any()


def test_buckets_are_uniform_and_independent_of_the_split():
    rows = np.arange(300_000)
    bucket = bucket_of_rows(rows, 7, seed=0)
    assert np.bincount(bucket) / len(rows) == pytest.approx(np.full(7, 1 / 7), abs=0.003)
    train = bucket[split_of_rows(rows, SHARES, 0) == 0]
    assert np.bincount(train) / len(train) == pytest.approx(np.full(7, 1 / 7), abs=0.004)
